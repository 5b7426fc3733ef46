// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// refusal is a bundle that can't become a container.
type refusal struct {
	change change                       // of a configuration that works
	before func(t *testing.T, d string) // of the bundle's files
	code   int                          // 1 when nothing is said
	say    []string                     // what the error has to name
}

// TestRefusals runs bundles that can't become containers. Each gives one line that names the trouble and the
// right exit code, starts no command, and leaves mounts and files as they were.
func TestRefusals(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for _, group := range []map[string]refusal{fieldRefusals(), namespaceRefusals(), mountRefusals(), rootRefusals(), processRefusals()} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) { refuse(t, test) })
		}
	}
}

// refuse runs one of them.
func refuse(t *testing.T, test refusal) {
	t.Helper()
	if test.change == nil {
		test.change = func(*specs.Spec) {}
	}
	dir := newBundle(t, "echo the command runs", test.change)
	if test.before != nil {
		test.before(t, dir)
	}
	files, mounts := tree(t, dir), len(witness.Mounts(t, 0))
	got := run(t, oci(dir))
	checkRefusal(t, got, test.code, test.say)
	if diff := cmp.Diff(files, tree(t, dir)); diff != "" {
		t.Errorf("files of the bundle, -before +after:\n%s", diff)
	}
	if n := len(witness.Mounts(t, 0)); n != mounts {
		t.Errorf("%d mounts, there were %d", n, mounts)
	}
	if left := groupsNamed(t, "/"+filepath.Base(dir)); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// checkRefusal looks at what became of a bundle that can't be run.
func checkRefusal(t *testing.T, got result, code int, say []string) {
	t.Helper()
	if code == 0 {
		code = 1
	}
	if got.code != code {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	if got.out != "" {
		t.Errorf("standard output is %q", got.out)
	}
	if !strings.HasPrefix(got.err, "stave-oci: ") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("standard error is not one line that begins with stave-oci: %q", got.err)
	}
	for _, part := range say {
		if !strings.Contains(got.err, part) {
			t.Errorf("the error does not say %q: %s", part, got.err)
		}
	}
}

// config replaces the whole configuration file.
func config(text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, "config.json"), text, 0o644)
	}
}

// edit replaces one piece of the configuration file.
func edit(old, new string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		name := filepath.Join(dir, "config.json")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), old) {
			t.Fatalf("there is no %s in %s", old, data)
		}
		put(t, name, strings.Replace(string(data), old, new, 1), 0o644)
	}
}

// fieldRefusals are files that are no configuration.
func fieldRefusals() map[string]refusal {
	return map[string]refusal{
		"no config.json": {before: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
				t.Fatal(err)
			}
		}, say: []string{"config.json is not there", "stave-oci spec"}},
		"empty":                {before: config(""), say: []string{"config.json"}},
		"broken on line 3":     {before: config("{\n\"ociVersion\": \"1.0.2\",\n\"root\": }\n"), say: []string{"config.json", "line 3"}},
		"cut off":              {before: config("{\n\"ociVersion\": \"1.0.2\",\n"), say: []string{"config.json", "line 3", "unexpected end"}},
		"text after it":        {before: config("{}\n{}"), say: []string{"line 2"}},
		"a list":               {before: config("[]"), say: []string{"config.json", "array"}},
		"null":                 {before: config("null"), say: []string{"ociVersion is missing"}},
		"nothing in it":        {before: config("{}"), say: []string{"ociVersion is missing"}},
		"version 2":            {change: func(s *specs.Spec) { s.Version = "2.0.0" }, say: []string{`"2.0.0"`}},
		"args of wrong type":   {before: edit(`"args":["sh"`, `"args":[7`), say: []string{"args", "number"}},
		"uid of wrong type":    {before: edit(`"uid":0`, `"uid":"root"`), say: []string{"uid", "string"}},
		"uid negative":         {before: edit(`"uid":0`, `"uid":-1`), say: []string{"uid"}},
		"uid too large":        {before: edit(`"uid":0`, `"uid":4294967296`), say: []string{"uid"}},
		"mounts of wrong type": {before: edit(`"mounts":[`, `"mounts":7,"x":[`), say: []string{"mounts", "number"}},
		"no process":           {change: func(s *specs.Spec) { s.Process = nil }, say: []string{"process is missing"}},
		"no root":              {change: func(s *specs.Spec) { s.Root = nil }, say: []string{"root.path is missing"}},
		"no root path":         {change: func(s *specs.Spec) { s.Root.Path = "" }, say: []string{"root.path is missing"}},
		"no linux":             {change: func(s *specs.Spec) { s.Linux = nil }, say: []string{"linux is missing"}},
		"no arguments":         {change: func(s *specs.Spec) { s.Process.Args = nil }, say: []string{"process.args"}},
		"no working folder":    {change: func(s *specs.Spec) { s.Process.Cwd = "" }, say: []string{"process.cwd"}},
		"hooks": {change: func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "bin/true"}}}
		}, say: []string{"hooks.createRuntime[0].path", "not absolute"}},
		"scheduler": {change: func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedFIFO}
		}, say: []string{"process.scheduler: priority 0"}},
		"I/O priority": {change: func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: "best"}
		}, say: []string{`process.ioPriority: unknown class "best"`}},
		"memory policy": {change: func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_BIND"}
		}, say: []string{"linux.memoryPolicy: the mode MPOL_BIND needs nodes"}},
		"cache allocation": {change: func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }, say: []string{"linux.intelRdt", "resctrl"}},
		"affinity": {change: func(s *specs.Spec) {
			s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "x"}
		}, say: []string{`process.execCPUAffinity.initial "x"`}},
	}
}

// namespaceRefusals are namespaces that can't be made or entered, and settings that lack theirs.
func namespaceRefusals() map[string]refusal {
	add := func(n specs.LinuxNamespace) change {
		return func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, n) }
	}
	join := func(path string) change {
		return func(s *specs.Spec) { s.Linux.Namespaces[1].Path = path } // network
	}
	return map[string]refusal{
		"unknown kind": {change: add(specs.LinuxNamespace{Type: "planet"}), say: []string{"linux.namespaces", `"planet"`}},
		"twice":        {change: add(specs.LinuxNamespace{Type: specs.PIDNamespace}), say: []string{"linux.namespaces", "pid", "twice"}},
		"none for mounts, in a user namespace": {change: func(s *specs.Spec) {
			mapped(s)
			without(specs.MountNamespace)(s)
		}, say: []string{"linux.namespaces", "mount"}},
		"none for mounts, and a shared root": {change: func(s *specs.Spec) {
			without(specs.MountNamespace)(s)
			s.Linux.RootfsPropagation = "rshared"
		}, say: []string{"linux.rootfsPropagation", "mount"}},
		"host name without UTS": {change: without(specs.UTSNamespace), say: []string{"hostname", "UTS"}},
		"domain name without UTS": {change: func(s *specs.Spec) {
			without(specs.UTSNamespace)(s)
			s.Hostname, s.Domainname = "", "x"
		}, say: []string{"domainname", "UTS"}},
		"join nothing":                {change: join("/proc/self/ns/nothing"), say: []string{"/proc/self/ns/nothing", "no such file"}},
		"join a file":                 {change: join("/etc/passwd"), say: []string{"/etc/passwd"}},
		"join another kind":           {change: join("/proc/self/ns/uts"), say: []string{"/proc/self/ns/uts"}},
		"join a relative path":        {change: join("ns/net"), say: []string{"ns/net"}},
		"user namespace without maps": {change: add(specs.LinuxNamespace{Type: specs.UserNamespace}), say: []string{"linux.uidMappings"}},
		"maps without user namespace": {change: func(s *specs.Spec) {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
		}, say: []string{"linux.uidMappings"}},
		"maps that overlap": {change: func(s *specs.Spec) {
			mapped(s)
			s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 5, HostID: 9, Size: 10})
		}, say: []string{"uid_map", "invalid argument"}},
		"maps of size 0": {change: func(s *specs.Spec) {
			mapped(s)
			s.Linux.UIDMappings[0].Size = 0
		}, say: []string{"uid_map"}},
		"time without namespace": {change: func(s *specs.Spec) {
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}}
		}, say: []string{"linux.timeOffsets"}},
		"sysctl of the machine": {change: func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"kernel.panic": "1"}
		}, say: []string{"linux.sysctl", "kernel.panic"}},
		"sysctl of the host's network": {change: func(s *specs.Spec) {
			without(specs.NetworkNamespace)(s)
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}, say: []string{"linux.sysctl", "net.ipv4.ip_forward"}},
		"sysctl outside": {change: func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net/../kernel/panic": "1"}
		}, say: []string{"linux.sysctl"}},
		"sysctl not there": {change: func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.nothing": "1"}
		}, say: []string{"net/nothing", "no such file"}},
		"sysctl value": {change: func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "many"}
		}, say: []string{"net/ipv4/ip_forward", "invalid argument"}},
	}
}

// mountRefusals are mounts and devices that can't be made.
func mountRefusals() map[string]refusal {
	mounts := func(destination, kind, source string, options ...string) change {
		return func(s *specs.Spec) {
			writable(s)
			addMount(destination, kind, source, options...)(s)
		}
	}
	device := func(d specs.LinuxDevice) change {
		return func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{d} }
	}
	return map[string]refusal{
		"source not there":         {change: mounts("/data", "bind", "/nothing/here", "bind"), say: []string{"/data", "/nothing/here", "is not there"}},
		"destination missing":      {change: mounts("", "tmpfs", "tmpfs"), say: []string{"destination"}},
		"unknown file system":      {change: mounts("/data", "nosuchfs", "none"), say: []string{"/data", "nosuchfs", "no such device"}},
		"unknown option":           {change: mounts("/data", "tmpfs", "tmpfs", "nosuchoption"), say: []string{"/data", "invalid argument"}},
		"unknown option of a bind": {change: mounts("/data", "bind", "/etc", "bind", "readonly"), say: []string{"/data", `"readonly"`}},
		"folder on a file":         {change: mounts("/etc/passwd", "tmpfs", "tmpfs"), say: []string{"/etc/passwd", "not a directory"}},
		"file on a folder":         {change: mounts("/data", "bind", "/etc/passwd", "bind"), say: []string{"/data"}},
		"below a file":             {change: mounts("/etc/passwd/x", "tmpfs", "tmpfs"), say: []string{"/etc/passwd", "not a directory"}},
		"NUL in a destination":     {change: mounts("/da\x00ta", "tmpfs", "tmpfs"), say: []string{"NUL"}},
		"NUL in a source":          {change: mounts("/data", "bind", "/etc\x00", "bind"), say: []string{"NUL"}},
		"NUL in an option":         {change: mounts("/data", "tmpfs", "tmpfs", "mode=7\x00"), say: []string{"NUL"}},
		"unknown propagation":      {change: func(s *specs.Spec) { s.Linux.RootfsPropagation = "everywhere" }, say: []string{"linux.rootfsPropagation", `"everywhere"`}},
		"unknown kind of device":   {change: device(specs.LinuxDevice{Path: "/dev/x", Type: "z"}), say: []string{"linux.devices", `"z"`, "/dev/x"}},
		"negative device":          {change: device(specs.LinuxDevice{Path: "/dev/x", Type: "c", Major: -1}), say: []string{"linux.devices", "/dev/x"}},
		"mount point missing, read-only": {change: addMount("/not/there", "tmpfs", "tmpfs"), before: func(t *testing.T, dir string) {
			readOnlyRoot(t, dir)
		}, say: []string{"/not", "read-only"}},
	}
}

// readOnlyRoot puts a read-only bind over a bundle's root, until the test ends.
func readOnlyRoot(t *testing.T, dir string) {
	t.Helper()
	root := filepath.Join(dir, "rootfs")
	mountOver(t, root, root, "", unix.MS_BIND, "")
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

// mountOver mounts something until the test ends.
func mountOver(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// link puts a symbolic link in the place of a file or empty folder of the root file system.
func link(name, target string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		name := filepath.Join(dir, "rootfs", name)
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
}

// rootRefusals are root file systems that are none, or that try to lead the runtime astray.
func rootRefusals() map[string]refusal {
	return map[string]refusal{
		"root not there":       {change: func(s *specs.Spec) { s.Root.Path = "nothing" }, say: []string{"root.path", "nothing", "no such file"}},
		"root is a file":       {change: func(s *specs.Spec) { s.Root.Path = "config.json" }, say: []string{"root.path", "config.json", "not a folder"}},
		"NUL in the root":      {change: func(s *specs.Spec) { s.Root.Path = "root\x00fs" }, say: []string{"root.path", "NUL"}},
		"proc is a link to /":  {before: link("proc", "/"), say: []string{"/proc"}},
		"dev is a link to /":   {before: link("dev", "/"), say: []string{"/dev"}},
		"sys is a link to /":   {before: link("sys", "/"), say: []string{"/sys"}},
		"proc is a link to ..": {before: link("proc", "../../../.."), say: []string{"/proc"}},
		"proc is a file": {before: func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "rootfs/proc")); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "rootfs/proc"), "", 0o644)
		}, say: []string{"/proc", "not a directory"}},
		"link in a circle": {change: addMount("/data/x", "tmpfs", "tmpfs"), before: link("data", "data"), say: []string{"/data"}},
		"no space": {change: func(s *specs.Spec) {
			writable(s)
			addMount("/not/there", "tmpfs", "tmpfs")(s)
		}, before: fullRoot, say: []string{"/not", "no space left"}},
	}
}

// fullRoot moves a bundle's root onto a tmpfs on which no inode is free.
func fullRoot(t *testing.T, dir string) {
	root := filepath.Join(dir, "rootfs")
	copied := filepath.Join(dir, "copy")
	if err := os.Rename(root, copied); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	mountOver(t, "tmpfs", root, "tmpfs", 0, "nr_inodes=100")
	if err := os.CopyFS(root, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; {
		var f *os.File
		if f, err = os.CreateTemp(root, "fill"); err == nil {
			f.Close()
		}
	}
}

// processRefusals are commands, users and rights that can't be had.
func processRefusals() map[string]refusal {
	process := func(f func(*specs.Process)) change {
		return func(s *specs.Spec) { f(s.Process) }
	}
	limit := func(kind string, soft, hard uint64) change {
		return process(func(p *specs.Process) { p.Rlimits = []specs.POSIXRlimit{{Type: kind, Soft: soft, Hard: hard}} })
	}
	filter := func(f specs.LinuxSeccomp) change {
		return func(s *specs.Spec) { s.Linux.Seccomp = &f }
	}
	return map[string]refusal{
		"relative working folder":  {change: process(func(p *specs.Process) { p.Cwd = "tmp" }), say: []string{"process.cwd", `"tmp"`}},
		"working folder is a file": {change: process(func(p *specs.Process) { p.Cwd = "/etc/passwd" }), say: []string{"/etc/passwd"}},
		"NUL in an argument":       {change: process(func(p *specs.Process) { p.Args = []string{"sh", "a\x00b"} }), say: []string{"process.args", "NUL"}},
		"NUL in a variable":        {change: process(func(p *specs.Process) { p.Env = []string{"A=\x00"} }), say: []string{"process.env", "NUL"}},
		"score too high":           {change: process(func(p *specs.Process) { p.OOMScoreAdj = new(1001) }), say: []string{"process.oomScoreAdj", "1001"}},
		"score too low":            {change: process(func(p *specs.Process) { p.OOMScoreAdj = new(-1001) }), say: []string{"process.oomScoreAdj", "-1001"}},
		"unknown limit":            {change: limit("RLIMIT_LUCK", 1, 1), say: []string{"process.rlimits", "RLIMIT_LUCK"}},
		"soft above hard":          {change: limit("RLIMIT_NOFILE", 100, 50), say: []string{"process.rlimits", "RLIMIT_NOFILE", "100", "50"}},
		"limit twice": {change: process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}), say: []string{"process.rlimits", "RLIMIT_CORE"}},
		"unknown action":       {change: filter(specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_LAUGH"}), say: []string{"linux.seccomp", "SCMP_ACT_LAUGH"}},
		"unknown architecture": {change: filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_VAX"}}), say: []string{"linux.seccomp", "SCMP_ARCH_VAX"}},
		"unknown operator": {change: filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"mkdir"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_ISH"}},
		}}}), say: []string{"linux.seccomp", "SCMP_CMP_ISH"}},
		"unknown filter flag": {change: filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_X"}}), say: []string{"linux.seccomp", "SECCOMP_FILTER_FLAG_X"}},
		"unknown personality": {change: func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "SUNOS"} }, say: []string{"linux.personality", "SUNOS"}},
		"selinux":             {change: process(func(p *specs.Process) { p.SelinuxLabel = "system_u:system_r:x:s0" }), say: []string{"process.selinuxLabel"}},
		"too many arguments": {change: process(func(p *specs.Process) {
			p.Args = []string{"true", strings.Repeat("x", 1<<18)} // one argument holds 128 KiB at most (execve(2))
		}), code: 126, say: []string{"argument list too long"}},
		"not there":      {change: process(func(p *specs.Process) { p.Args = []string{"/no/such"} }), code: 127, say: []string{"/no/such"}},
		"not executable": {change: process(func(p *specs.Process) { p.Args = []string{"/etc/group"} }), code: 126, say: []string{"/etc/group"}},
		"a folder":       {change: process(func(p *specs.Process) { p.Args = []string{"/tmp"} }), code: 126, say: []string{"/tmp"}},
	}
}

// TestAppArmorProfileIsRefused asks for a profile that nobody has loaded, or on a kernel without AppArmor.
func TestAppArmorProfileIsRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	refuse(t, refusal{change: func(s *specs.Spec) { s.Process.ApparmorProfile = "no-such-profile" }, say: []string{"pparmor", "no-such-profile"}})
}

// TestUnknownThingsAreIgnored runs configurations with fields that the specification does not know, and with
// system calls and paths that this machine lacks (config.md, "Extensibility", "Linux Process").
func TestUnknownThingsAreIgnored(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]refusal{
		"field": {before: edit(`"process":{`, `"weather":{"sun":[1]},"process":{"mood":7,`)},
		"system call": {change: func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"teleport"}, Action: specs.ActErrno}}}
		}},
		"masked path": {change: func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/proc/nothing") }},
	} {
		t.Run(name, func(t *testing.T) {
			if test.change == nil {
				test.change = func(*specs.Spec) {}
			}
			dir := newBundle(t, "echo runs", test.change)
			if test.before != nil {
				test.before(t, dir)
			}
			if got := run(t, oci(dir)); got.code != 0 || got.out != "runs\n" {
				t.Errorf("exit code %d, output %q, errors %q", got.code, got.out, got.err)
			}
		})
	}
}

// TestOrdinaryUserIsRefused runs, as a user without subordinate ids, what only root can do.
func TestOrdinaryUserIsRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]refusal{
		"no user namespace": {say: []string{"user 65534", "user namespace"}},
		"ids of others":     {change: mapped, say: []string{"linux.uidMappings"}},
	} {
		t.Run(name, func(t *testing.T) {
			changes := []change{}
			if test.change != nil {
				changes = append(changes, test.change)
			}
			dir := newBundle(t, "echo the command runs", changes...)
			give(t, dir, 65534)
			c := oci(dir)
			c.Env = []string{"PATH=/nothing"} // no newuidmap either
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			checkRefusal(t, run(t, c), 1, test.say)
		})
	}
}

// TestIDs refuses names that could be paths.
func TestIDs(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "echo runs")
	for _, id := range []string{"", ".", "..", "a/b", "../x", "a b", "ä", "a\nb", strings.Repeat("x", 1025)} {
		c := exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, id)
		checkRefusal(t, run(t, c), 1, []string{"container id"})
	}
	if got := run(t, exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, "a_B+c-1.2")); got.code != 0 {
		t.Error(got.err)
	}
}

// TestBinaryConfiguration reads what json.Marshal would never write.
func TestBinaryConfiguration(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "")
	for _, text := range []string{"\x00", "\xff\xfe{}", strings.Repeat("[", 20_000), `{"ociVersion":"1.0.0","process":` + strings.Repeat(`{"x":`, 11_000)} {
		if json.Valid([]byte(text)) {
			t.Fatalf("%.20q is valid", text)
		}
		put(t, filepath.Join(dir, "config.json"), text, fs.FileMode(0o644))
		checkRefusal(t, run(t, oci(dir)), 1, []string{"config.json"})
	}
}
