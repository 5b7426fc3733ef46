// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// TestSameAsRunc runs bundles that runc spec made with runc and with stave-oci, and compares what the
// container's first process sees, section by section of lookAround.
func TestSameAsRunc(t *testing.T) {
	witness.Need(t, "root", "command:runc", "command:busybox")
	short := []string{"default", "seccomp", "user namespace", "terminal", "resources", "device rules", "no cgroup namespace", "relative cgroups path"}
	for name, changes := range parityCases(t) {
		if testing.Short() && !slices.Contains(short, name) {
			continue // the others have little to do with the kernel
		}
		t.Run(name, func(t *testing.T) {
			dir := runcBundle(t, nil, changes...)
			compare(t, dir, 0)
		})
	}
}

// TestSameAsRuncRootless is the same for an ordinary user and a bundle of runc spec --rootless.
func TestSameAsRuncRootless(t *testing.T) {
	witness.Need(t, "root", "userns", "command:runc", "command:busybox")
	const uid = 65534
	for name, changes := range map[string][]change{
		"default":   nil,
		"seccomp":   {dockerProfile(t)},
		"writable":  {func(s *specs.Spec) { s.Root.Readonly = false }},
		"tmpfs":     {addMount("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755", "size=1m")},
		"terminal":  {func(s *specs.Spec) { s.Process.Terminal = true }},
		"bind":      {addMount("/data", "", "bound", "rbind", "ro"), writable},
		"no groups": {func(s *specs.Spec) { s.Process.User.AdditionalGids = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := runcBundle(t, []string{"--rootless"}, append(changes, func(s *specs.Spec) {
				s.Linux.UIDMappings[0].HostID, s.Linux.GIDMappings[0].HostID = uid, uid
			})...)
			compare(t, dir, uid)
		})
	}
}

// runcBundle makes a bundle with the configuration that runc spec writes, which looks around when it
// is run. Folders and files to bind lie beside its root file system.
func runcBundle(t *testing.T, options []string, changes ...change) string {
	t.Helper()
	dir := folder(t)
	makeRoot(t, filepath.Join(dir, "rootfs"))
	if err := os.Mkdir(filepath.Join(dir, "bound"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "bound/inside"), "inside\n", 0o644)
	put(t, filepath.Join(dir, "file"), "file\n", 0o600)
	made := exec.Command("runc", append([]string{"spec", "--bundle", dir}, options...)...)
	if got := run(t, made); got.code != 0 {
		t.Fatalf("runc spec: %s", got.err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	spec.Process.Terminal = false
	spec.Process.Args = []string{"sh", "-c", lookAround}
	if len(options) == 0 { // without it runc makes the cgroup inside its own, and stave at the top
		name := "/stave-test-" + filepath.Base(dir)
		spec.Linux.CgroupsPath = name
		t.Cleanup(func() { // runc leaves the folders above the container's own
			above, _ := filepath.Glob("/sys/fs/cgroup/*" + name)
			for _, dir := range append(above, "/sys/fs/cgroup"+name) {
				os.Remove(dir)
			}
		})
	}
	write(t, dir, &spec, changes...)
	return dir
}

// compare runs a bundle with both runtimes as a user and compares. Each has a root file system of its
// own, since a runtime may make mount points in it.
func compare(t *testing.T, dir string, uid int) {
	t.Helper()
	rootfs, state := filepath.Join(dir, "rootfs"), folder(t)
	before := folder(t)
	if err := os.CopyFS(before, os.DirFS(rootfs)); err != nil {
		t.Fatal(err)
	}
	give(t, dir, uid)
	give(t, state, uid)
	theirs := view(t, dir, uid, exec.Command("runc", "--root", state, "run", "--bundle", dir, filepath.Base(dir)))
	if err := os.Rename(rootfs, filepath.Join(dir, "used")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(rootfs, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	give(t, rootfs, uid)
	ours := view(t, dir, uid, oci(dir))
	for name := range theirs {
		if diff := cmp.Diff(strings.Split(theirs[name], "\n"), strings.Split(ours[name], "\n")); diff != "" {
			t.Errorf("%s: -runc +stave-oci:\n%s", name, diff)
		}
	}
}

// view runs a runtime as a user, on a terminal where the configuration has one, and returns the
// sections of what the container saw.
func view(t *testing.T, dir string, uid int, c *exec.Cmd) map[string]string {
	t.Helper()
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{}
	if uid != 0 {
		c.Env = append(c.Env, "XDG_RUNTIME_DIR="+dir)
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	c.Dir = dir
	var got result
	if wantsTerminal(t, dir) {
		got = runOnTerminal(t, c, 33, 99)
	} else {
		c.Stdin = strings.NewReader("") // a pipe, as the output is
		got = run(t, c)
	}
	if got.code != 0 {
		t.Logf("%s: exit code %d: %s", c.Args[0], got.code, got.err)
	}
	saw := sections(t, got.out)
	saw["exit code"] = fmt.Sprint(got.code)
	normalise(t, saw)
	own := slices.ContainsFunc(readSpec(t, dir).Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
	if version, _ := hierarchyOf(t, "memory"); version == 2 && !own {
		// Here runc shows the container the tree of the whole machine, and stave its own part of it.
		delete(saw, "cgroup-files")
		delete(saw, "cgroup-limits")
		saw["mountinfo"] = regexp.MustCompile(`(?m)^.* /sys/fs/cgroup .*\n?`).ReplaceAllString(saw["mountinfo"], "")
	}
	if uid != 0 {
		// The groups to be seen are all of the machine's. Nobody has given the user any, in which devices are forbidden:
		// only stave then mounts the root with nodev.
		delete(saw, "cgroup-files")
		delete(saw, "cgroup-limits")
		saw["mountinfo"] = regexp.MustCompile(`(?m)^(.*/rootfs / r[ow],)nodev,`).ReplaceAllString(saw["mountinfo"], "$1")
	}
	return saw
}

// wantsTerminal reads from a bundle whether its container has a terminal.
func wantsTerminal(t *testing.T, dir string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	var spec specs.Spec
	if err == nil {
		err = json.Unmarshal(data, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	return spec.Process.Terminal
}

// writable makes the root file system writable, so that mount points can be made.
func writable(s *specs.Spec) { s.Root.Readonly = false }

// addMount appends a mount.
func addMount(destination, kind, source string, options ...string) change {
	return func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: destination, Type: kind, Source: source, Options: options})
	}
}

// dockerProfile asks for Docker's default system call filter.
func dockerProfile(t *testing.T) change {
	t.Helper()
	return func(s *specs.Spec) {
		profile, err := seccomp.GetDefaultProfile(s)
		if err != nil {
			t.Fatal(err)
		}
		s.Linux.Seccomp = profile
	}
}

// allCapabilities gives capabilities to all five sets, so that they are inherited by a command of any user.
func allCapabilities(names ...string) change {
	return func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding: names, Effective: names, Permitted: names, Inheritable: names, Ambient: names,
		}
	}
}

// without takes a namespace away.
func without(kind specs.LinuxNamespaceType) change {
	return func(s *specs.Spec) {
		var kept []specs.LinuxNamespace
		for _, n := range s.Linux.Namespaces {
			if n.Type != kind {
				kept = append(kept, n)
			}
		}
		s.Linux.Namespaces = kept
	}
}

// mapped adds a user namespace whose root is user 100000 of the host.
func mapped(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
}

// parityCases are the changes of runc's own configuration that both runtimes run.
func parityCases(t *testing.T) map[string][]change {
	user := func(s *specs.Spec) {
		s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 44, 1234}, Umask: new(uint32(0o027))}
	}
	return map[string][]change{
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
}
