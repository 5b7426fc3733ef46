// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
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
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestSameAsRunc runs bundles that runc spec made with runc and with stave-oci, and compares what the
// container's first process sees, section by section of lookAround.
func TestSameAsRunc(t *testing.T) {
	witness.Need(t, "root", "command:runc", "command:busybox")
	cases := parityCases(t)
	for _, table := range []map[string]parity{mountParity(), propagationParity(), processParity(), seccompParity(), namespaceParity(t), resourceParity(t)} {
		for name, c := range table {
			if _, twice := cases[name]; twice {
				t.Fatalf("there are two cases %q", name)
			}
			cases[name] = c
		}
	}
	for name, c := range cases {
		if testing.Short() && !slices.Contains(inShort(), name) {
			continue // the others have little to do with the kernel
		}
		t.Run(name, func(t *testing.T) {
			dir := runcBundle(t, nil, c.changes...)
			if c.prepare != nil {
				c.prepare(t, dir)
			}
			c.compare(t, dir, 0)
		})
	}
}

// parity is one bundle that both runtimes run.
type parity struct {
	// changes are made to the configuration that runc spec writes.
	changes []change
	// prepare changes the bundle before the first run. A mount point of the image is its own in each run.
	prepare func(t *testing.T, dir string)
	// options are of both runtimes' command run.
	options []string
	// files are how many descriptors above 2 the runtime is started with, on the bundle's file inside.
	files int
	// machine says that the container sees the cgroups of the whole machine, which change. They are not compared.
	machine bool
	// shared runs both on a machine on which every mount is shared, as systemd makes them.
	shared bool
	// combined runs both on a machine where the controllers cpu and cpuacct have one hierarchy of version 1.
	combined bool
}

// inShort are the cases that the kernel and its version of cgroups may change: those of the tier vm.
func inShort() []string {
	return []string{
		"seccomp", "user namespace", "terminal", "resources", "device rules", "relative cgroups path", "joined namespaces", "root is private, shared machine",
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
			parity{}.compare(t, dir, uid)
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
	program, err := os.ReadFile(inside)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "rootfs/bin/inside"), string(program), 0o755)
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
func (p parity) compare(t *testing.T, dir string, uid int) {
	t.Helper()
	if p.shared || p.combined {
		combined := p.combined
		p.shared, p.combined = false, false
		witness.SharedRoot(t, func() {
			if combined {
				combineControllers(t, folder(t))
			} else if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil { // the root lies in a shared mount that is not /
				t.Fatal(err)
			}
			p.compare(t, dir, uid)
		})
		return
	}
	rootfs, state := filepath.Join(dir, "rootfs"), folder(t)
	before := filepath.Join(dir, "before")
	if err := os.CopyFS(before, os.DirFS(rootfs)); err != nil {
		t.Fatal(err)
	}
	give(t, dir, uid)
	give(t, state, uid)
	theirs := p.view(t, dir, uid, exec.Command("runc", slices.Concat([]string{"--root", state, "run", "--bundle", dir}, p.options, []string{filepath.Base(dir)})...))
	if err := os.Rename(rootfs, filepath.Join(dir, "used")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(before, rootfs); err != nil {
		t.Fatal(err)
	}
	give(t, rootfs, uid)
	ours := p.view(t, dir, uid, oci(dir, p.options...))
	for name := range theirs {
		if diff := lineDiff(theirs[name], ours[name]); diff != "" {
			t.Errorf("%s: -runc +stave-oci:\n%s", name, diff)
		}
	}
}

// lineDiff returns the lines that only one of two texts has, and if the texts have the same lines in another order, both.
func lineDiff(a, b string) string {
	if a == b {
		return ""
	}
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	var diff strings.Builder
	for _, line := range first {
		if !slices.Contains(second, line) {
			fmt.Fprintln(&diff, "-", line)
		}
	}
	for _, line := range second {
		if !slices.Contains(first, line) {
			fmt.Fprintln(&diff, "+", line)
		}
	}
	if diff.Len() == 0 {
		return cmp.Diff(first, second)
	}
	return diff.String()
}

// view runs a runtime as a user, on a terminal where the configuration has one, and returns the
// sections of what the container saw.
func (p parity) view(t *testing.T, dir string, uid int, c *exec.Cmd) map[string]string {
	t.Helper()
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{}
	if uid != 0 {
		c.Env = append(c.Env, "XDG_RUNTIME_DIR="+dir)
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	c.Dir = dir
	for range p.files {
		file, err := os.Open(filepath.Join(dir, "bound/inside"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		c.ExtraFiles = append(c.ExtraFiles, file)
	}
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
	normalise(t, saw, readSpec(t, dir))
	own := slices.ContainsFunc(readSpec(t, dir).Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
	if version, _ := hierarchyOf(t, "memory"); version == 2 && !own {
		// Here runc shows the container the tree of the whole machine, and stave its own part of it.
		delete(saw, "cgroup-files")
		delete(saw, "cgroup-limits")
		saw["mountinfo"] = regexp.MustCompile(`(?m)^.* /sys/fs/cgroup .*\n?`).ReplaceAllString(saw["mountinfo"], "")
	}
	if p.machine {
		delete(saw, "cgroup-files")
		delete(saw, "cgroup-limits")
	}
	if uid != 0 {
		// The groups to be seen are all of the machine's. Nobody has given the user any, in which devices are forbidden:
		// only stave then mounts the root with nodev.
		delete(saw, "cgroup-files")
		delete(saw, "cgroup-limits")
		saw["mountinfo"] = regexp.MustCompile(`(?m)^(.*/rootfs / r[ow],)nodev,`).ReplaceAllString(saw["mountinfo"], "$1")
		// runc makes pipes of the user's own and copies, stave hands its caller's on.
		saw["process"] = regexp.MustCompile(`(?m)^(descriptor.*), owner \d+:\d+`).ReplaceAllString(saw["process"], "$1")
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
