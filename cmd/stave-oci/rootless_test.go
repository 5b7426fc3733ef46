// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// user is an ordinary user who makes containers, in a folder of his own.
type user struct {
	t    *testing.T
	uid  uint32
	root string
}

// do runs stave-oci as the user. The streams are files: a container may keep them.
func (u user) do(args ...string) result {
	u.t.Helper()
	out, err := os.CreateTemp(u.t.TempDir(), "out")
	if err != nil {
		u.t.Fatal(err)
	}
	defer out.Close()
	c := asUser(exec.Command(staveOCI, append([]string{"--root", u.root}, args...)...), u.uid)
	c.Stdout, c.Stderr = out, out
	c.Run()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		u.t.Fatal(err)
	}
	return result{out: string(text), code: code(c)}
}

// must is do, for what has to succeed.
func (u user) must(args ...string) string {
	u.t.Helper()
	got := u.do(args...)
	if got.code != 0 {
		u.t.Fatalf("stave-oci %s: exit code %d: %s", strings.Join(args, " "), got.code, got.out)
	}
	return got.out
}

// TestLifecycleOfAnOrdinaryUser leads containers of an ordinary user through their life: with his own id alone, and with
// subordinate ones.
func TestLifecycleOfAnOrdinaryUser(t *testing.T) {
	const uid = 65534
	for name, c := range map[string]struct {
		needs  []string
		change change
		ids    string
	}{
		"own id": {nil, rootless(uid), "0 65534 1"},
		"subordinate ids": {[]string{"command:newuidmap"}, func(s *specs.Spec) {
			rootless(uid)(s)
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uid, Size: 1}, {ContainerID: 1, HostID: 300000, Size: 1000}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
			s.Process.User.AdditionalGids = []uint32{7}
		}, "0 65534 1 1 300000 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, append(c.needs, "root", "userns", "command:busybox")...)
			dir := newBundle(t, "exec sleep 1000", c.change)
			give(t, dir, uid)
			ranges := filepath.Join(t.TempDir(), "ranges")
			put(t, ranges, "65534:300000:1000\n", 0o644)
			witness.SharedRoot(t, func() {
				for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
					if err := unix.Mount(ranges, file, "", unix.MS_BIND, ""); err != nil && c.needs != nil {
						t.Skipf("needs %s: %v", file, err)
					}
				}
				liveAs(user{t, uid, filepath.Join(dir, "containers")}, dir, c.ids)
			})
		})
	}
}

// liveAs makes the container, looks at it, runs a process in it, and ends it.
func liveAs(u user, dir, ids string) {
	t, id := u.t, "stave-test-"+filepath.Base(dir)
	t.Helper()
	defer u.must("delete", "--force", id)
	u.must("create", "--bundle", dir, "--pid-file", dir+"/pid", id)
	text, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	fmt.Sscan(string(text), &pid)
	if got := program(pid); got == "busybox" || got == "" {
		t.Errorf("before the start the process runs %q", got)
	}
	u.must("start", id)
	witness.Until(t, "the command runs", func() bool { return program(pid) == "busybox" })
	script := "cat /proc/self/uid_map; id -G; readlink /proc/self/ns/user; exit 6"
	got := u.do("exec", id, "sh", "-c", script)
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", pid))
	if words := strings.Join(strings.Fields(got.out), " "); got.code != 6 || !strings.HasPrefix(words, ids+" ") || !strings.HasSuffix(words, link) {
		t.Errorf("exec sees %q, exit code %d", words, got.code)
	}
	if out := u.must("list"); !strings.Contains(out, id) || !strings.Contains(out, "running") {
		t.Errorf("listed is %s", out)
	}
	u.must("kill", id, "KILL")
	witness.Until(t, "the process is gone", func() bool { return program(pid) == "" })
	u.must("delete", id)
}

// TestFlagRootless asks for limits as a user without a cgroup, in each of the modes.
func TestFlagRootless(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox")
	const uid = 65534
	dir := newBundle(t, "echo runs", rootless(uid), func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(10))}}
	})
	give(t, dir, uid)
	u := user{t, uid, filepath.Join(dir, "containers")}
	for mode, want := range map[string]struct {
		code int
		text string
	}{"true": {0, "warning: linux.resources"}, "false": {1, "delegated"}, "auto": {1, "delegated"}, "perhaps": {1, "one of true, false, auto"}} {
		if got := u.do("--rootless", mode, "run", "--bundle", dir, filepath.Base(dir)); got.code != want.code || !strings.Contains(got.out, want.text) {
			t.Errorf("%s: exit code %d, want %d: %s", mode, got.code, want.code, got.out)
		}
	}
}
