// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// parityCases are a bundle for most fields of the specification.
func parityCases(t *testing.T) map[string]parity {
	user := func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 44, 1234}, Umask: new(uint32(0o027))}
	}
	cases := map[string][]change{
		"default":                 nil,
		"seccomp":                 {dockerProfile(t)},
		"seccomp, new privileges": {dockerProfile(t), func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		"seccomp, user":           {dockerProfile(t), user, func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		"user":                    {user},
		"user, ambient":           {user, allCapabilities("CAP_NET_RAW", "CAP_CHOWN", "CAP_SYS_ADMIN")},
		"new privileges":          {func(s *specs.Spec) { s.Process.NoNewPrivileges = false }},
		"all capabilities":        {allCapabilities("CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_NET_ADMIN", "CAP_SETPCAP", "CAP_SYS_TIME"), writable},
		"no capabilities":         {func(s *specs.Spec) { s.Process.Capabilities = &specs.LinuxCapabilities{} }},
		"capabilities missing":    {func(s *specs.Spec) { s.Process.Capabilities = nil }},
		"inheritable only": {func(s *specs.Spec) {
			s.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
		}},
		"limits": {func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 128},
				{Type: "RLIMIT_CORE", Soft: 0, Hard: 0},
				{Type: "RLIMIT_NPROC", Soft: 200, Hard: 300},
				{Type: "RLIMIT_STACK", Soft: 4 << 20, Hard: 8 << 20},
			}
		}},
		"binds": {
			writable,
			addMount("/data", "bind", "bound", "bind", "ro"), addMount("/made/on/the/way", "none", "bound", "rbind", "rw", "nosuid", "noexec"),
			addMount("/etc/file", "", "file", "bind", "ro", "nodev"), addMount("/home/file", "bind", "file", "rbind", "rprivate"),
			addMount("/data2", "bind", "bound", "bind", "rshared"), addMount("/data3", "bind", "bound", "rbind", "rslave"),
		},
		"tmpfs": {
			// runc 1.1 overwrites the option mode with the mode of the folder below, so that one is asked for.
			addMount("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "mode=755", "size=2m", "uid=7", "gid=8"),
			addMount("/home", "tmpfs", "anything", "noatime"), addMount("/data", "tmpfs", "tmpfs", "ro", "strictatime"),
			addMount("/made/by/the/runtime", "tmpfs", "tmpfs"), writable,
		},
		"writable root": {writable},
		"sysctls": {func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"kernel.msgmax": "4097", "net.ipv4.ip_forward": "1", "fs.mqueue.queues_max": "77"}
		}},
		"devices": {func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/extra", Type: "c", Major: 1, Minor: 5, FileMode: new(fs.FileMode(0o640)), UID: new(uint32(7)), GID: new(uint32(8))},
				{Path: "/dev/deep/disk", Type: "b", Major: 7, Minor: 99},
				{Path: "/dev/pipe", Type: "p", FileMode: new(fs.FileMode(0o600))},
			}
		}},
		"terminal":               {func(s *specs.Spec) { s.Process.Terminal = true }},
		"terminal of a user":     {user, func(s *specs.Spec) { s.Process.Terminal = true }},
		"user namespace":         {mapped},
		"user namespace, user":   {mapped, user},
		"no PID namespace":       {without(specs.PIDNamespace)},
		"no network namespace":   {without(specs.NetworkNamespace)},
		"no IPC namespace":       {without(specs.IPCNamespace)},
		"no cgroup namespace":    {without(specs.CgroupNamespace)},
		"no UTS namespace":       {without(specs.UTSNamespace), func(s *specs.Spec) { s.Hostname = "" }},
		"working folder missing": {writable, func(s *specs.Spec) { s.Process.Cwd = "/is/made" }},
		"working folder":         {user, func(s *specs.Spec) { s.Process.Cwd = "/home" }},
		"host name":              {func(s *specs.Spec) { s.Hostname = "a-much-longer.name.example" }},
		"environment": {func(s *specs.Spec) {
			s.Process.Env = append(s.Process.Env, "A=b", "EMPTY=", "A=c", "C=d=e f", "HOME=/data")
		}},
		"out of memory score": {func(s *specs.Spec) { s.Process.OOMScoreAdj = new(500) }},
		"nothing masked":      {func(s *specs.Spec) { s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil }},
		"propagation slave":   {func(s *specs.Spec) { s.Linux.RootfsPropagation = "rslave" }},
		"propagation private": {func(s *specs.Spec) { s.Linux.RootfsPropagation = "private" }},
		"resources": {func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20)), Swap: new(int64(96 << 20))}
			if version, _ := hierarchyOf(t, "memory"); version == 1 { // runc ignores it in version 2, where stave refuses it
				s.Linux.Resources.Memory.Swappiness = new(uint64(7))
			}
			s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: new(uint64(512)), Quota: new(int64(50_000)), Period: new(uint64(100_000)), Cpus: "0", Mems: "0"}
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(77))}
		}},
		"device rules": {func(s *specs.Spec) {
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices,
				specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: new(int64(10)), Minor: new(int64(229)), Access: "rw"},
				specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: new(int64(7)), Access: "rm"},
				specs.LinuxDeviceCgroup{Allow: false, Type: "b", Major: new(int64(7)), Access: "m"})
		}},
		"no device rules":       {func(s *specs.Spec) { s.Linux.Resources = nil }},
		"all devices":           {func(s *specs.Spec) { s.Linux.Resources.Devices[0].Allow = true }},
		"cgroups path":          {without(specs.CgroupNamespace), func(s *specs.Spec) { s.Linux.CgroupsPath += "/deep" }},
		"relative cgroups path": {without(specs.CgroupNamespace), func(s *specs.Spec) { s.Linux.CgroupsPath = strings.TrimPrefix(s.Linux.CgroupsPath, "/") }},
		"annotations":           {func(s *specs.Spec) { s.Annotations = map[string]string{"org.example": "x"} }},
	}
	table := map[string]parity{}
	for name, changes := range cases {
		table[name] = parity{changes: changes}
	}
	return table
}
