// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// resourceRefusals are limits and cgroups that can't be. The group in the configuration has the bundle's name.
func resourceRefusals(t *testing.T) map[string]refusal {
	resources := func(f func(*specs.LinuxResources)) change { return func(s *specs.Spec) { f(s.Linux.Resources) } }
	memory := func(m specs.LinuxMemory) change {
		return resources(func(r *specs.LinuxResources) { r.Memory = &m })
	}
	cpu := func(c specs.LinuxCPU) change { return resources(func(r *specs.LinuxResources) { r.CPU = &c }) }
	blkio := func(b specs.LinuxBlockIO) change {
		return resources(func(r *specs.LinuxResources) { r.BlockIO = &b })
	}
	place := func(path string) change { return func(s *specs.Spec) { s.Linux.CgroupsPath = path } }
	version, _ := hierarchyOf(t, "memory")
	limitFile := map[int]string{1: "memory.limit_in_bytes", 2: "memory.max"}[version]
	version, _ = hierarchyOf(t, "cpu")
	quotaFile := map[int]string{1: "cpu.cfs_quota_us", 2: "cpu.max"}[version]
	disk := specs.LinuxThrottleDevice{Rate: 1 << 20}
	disk.Major, disk.Minor = 4000, 77
	return map[string]refusal{
		"memory negative":      {change: memory(specs.LinuxMemory{Limit: new(int64(-5))}), say: []string{"memory.limit", "-5", limitFile}},
		"reservation negative": {change: memory(specs.LinuxMemory{Reservation: new(int64(-2))}), say: []string{"memory.reservation", "-2"}},
		"swap below memory":    {change: memory(specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(32 << 20))}), say: []string{"memory.swap", "33554432"}},
		"swap without memory":  {change: memory(specs.LinuxMemory{Swap: new(int64(32 << 20))}), say: []string{"memory.swap", "33554432"}},
		"kernel memory":        {change: memory(specs.LinuxMemory{Limit: new(int64(64 << 20))}), before: edit(`"memory":{`, `"memory":{"kernel":33554432,`), say: []string{"memory.kernel", "33554432"}},
		"no hierarchy":         {change: memory(specs.LinuxMemory{UseHierarchy: new(false)}), say: []string{"memory.useHierarchy", "false"}},
		"swappiness":           {change: memory(specs.LinuxMemory{Swappiness: new(uint64(101))}), say: []string{"memory.swappiness", "101"}},
		"processes negative":   {change: resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: new(int64(-7))} }), say: []string{"pids.limit", "-7", "pids.max"}},
		"processes too many":   {change: resources(func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: new(int64(1 << 40))} }), say: []string{"pids.limit", "1099511627776", "pids.max"}},
		"quota too small":      {change: cpu(specs.LinuxCPU{Quota: new(int64(10))}), say: []string{"cpu.quota", "10"}},
		"quota negative":       {change: cpu(specs.LinuxCPU{Quota: new(int64(-3))}), say: []string{"cpu.quota", "-3"}},
		"quota too large":      {change: cpu(specs.LinuxCPU{Quota: new(int64(1 << 62))}), say: []string{quotaFile, "4611686018427387904"}},
		"period too short":     {change: cpu(specs.LinuxCPU{Period: new(uint64(999))}), say: []string{"cpu.period", "999"}},
		"period too long":      {change: cpu(specs.LinuxCPU{Period: new(uint64(1_000_001))}), say: []string{"cpu.period", "1000001"}},
		"no such processor":    {change: cpu(specs.LinuxCPU{Cpus: "0,4000"}), say: []string{"cpuset.cpus", "4000"}},
		"no such node":         {change: cpu(specs.LinuxCPU{Mems: "900"}), say: []string{"cpuset.mems", "900"}},
		"processors misspelt":  {change: cpu(specs.LinuxCPU{Cpus: "0-"}), say: []string{"cpu.cpus", "0-"}},
		"processors backwards": {change: cpu(specs.LinuxCPU{Cpus: "1-0"}), say: []string{"cpu.cpus", "1-0"}},
		"weight too small":     {change: blkio(specs.LinuxBlockIO{Weight: new(uint16(9))}), say: []string{"blockIO.weight", "9"}},
		"weight too large":     {change: blkio(specs.LinuxBlockIO{Weight: new(uint16(1001))}), say: []string{"blockIO.weight", "1001"}},
		"no such disk":         {change: blkio(specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{disk}}), say: []string{"4000:77 ", "no such device"}},
		"size of huge pages": {change: resources(func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		}), say: []string{"3MB"}},
		"controller not there": {change: resources(func(r *specs.LinuxResources) {
			r.Rdma = map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: new(uint32(3))}}
		}), say: []string{"rdma"}},
		"unknown unified file": {change: resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"nothing.max": "5"} }), say: []string{"nothing.max"}},
		"unified path":         {change: resources(func(r *specs.LinuxResources) { r.Unified = map[string]string{"../cgroup.procs": "5"} }), say: []string{"../cgroup.procs"}},
		"device rule": {change: resources(func(r *specs.LinuxResources) {
			r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Type: "z", Access: "r"}}
		}), say: []string{"devices", `"z"`}},
		"access of a device rule": {change: resources(func(r *specs.LinuxResources) { r.Devices[0].Access = "rwx" }), say: []string{"devices", "rwx"}},
		"path that climbs":        {change: place("../../stave-test-out"), say: []string{"linux.cgroupsPath", "../../stave-test-out"}},
		"path that climbs inside": {change: place("/stave-test-out/../../x"), say: []string{"linux.cgroupsPath", "/stave-test-out/../../x"}},
		"the top":                 {change: place("/"), say: []string{"linux.cgroupsPath", `"/"`}},
		"the top by dots":         {change: place("/./."), say: []string{"linux.cgroupsPath", `"/./."`}},
		"a line break":            {change: place("/stave-test-a\nb"), say: []string{"linux.cgroupsPath", `\n`}},
	}
}

// TestResourceRefusals asks for limits that can't be: one line says so, the command does not run, no cgroup is left.
func TestResourceRefusals(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	takeBack(t)
	for name, test := range resourceRefusals(t) {
		t.Run(name, func(t *testing.T) { refuse(t, test) })
	}
	if left := groupsNamed(t, "/stave-test-out"); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// takeBack makes the top of the v2 tree give away no more controllers after a test than before: stave leaves them given,
// since another container may count on them by then.
func takeBack(t *testing.T) {
	t.Helper()
	for _, m := range witness.Mounts(t, 0) {
		if m.Type != "cgroup2" {
			continue
		}
		file := m.Point + "/cgroup.subtree_control"
		given := func() []string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(string(text))
		}
		before := given()
		t.Cleanup(func() {
			for _, c := range given() {
				if !slices.Contains(before, c) {
					put(t, file, "-"+c, 0o644)
				}
			}
		})
	}
}

// TestBusyGroupIsRefused asks for a cgroup in which a process is already. It stays as it was.
func TestBusyGroupIsRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	name := fmt.Sprintf("/stave-test-busy-%d", os.Getpid())
	first := startReady(t, newBundle(t, "echo ready; read x; exit 4", func(s *specs.Spec) { s.Linux.CgroupsPath = name }))
	before := groupsNamed(t, name)
	refuse(t, refusal{change: func(s *specs.Spec) { s.Linux.CgroupsPath = name }, say: []string{"linux.cgroupsPath", name, "has processes already"}})
	if after := groupsNamed(t, name); len(before) == 0 || strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("groups %q, before %q", after, before)
	}
	for child := range childrenOf(first.Process.Pid) {
		unix.Kill(child, unix.SIGKILL)
	}
	if got := first.wait(t); got != 137 {
		t.Errorf("the first container's exit code is %d, want 137", got)
	}
}

// TestReadOnlyTreeIsRefused runs in a mount namespace whose cgroup file systems are read-only, as in a container.
func TestReadOnlyTreeIsRefused(t *testing.T) {
	witness.SharedRoot(t, func() {
		for _, m := range witness.Mounts(t, 0) {
			if m.Type != "cgroup" && m.Type != "cgroup2" {
				continue
			}
			err := errors.Join(unix.Mount("", m.Point, "", unix.MS_PRIVATE, ""),
				unix.Mount(m.Point, m.Point, "", unix.MS_BIND, ""),
				unix.Mount("", m.Point, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
			if err != nil {
				t.Fatal(err)
			}
		}
		refuse(t, refusal{change: limited, say: []string{"/sys/fs/cgroup/", "read-only file system", "mounted read-only here"}})
	})
}
