// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// inGroup gives a bundle a cgroup.
func inGroup(path string) change {
	return func(s *specs.Spec) { s.Linux.CgroupsPath = path }
}

// groupName is a name for a cgroup of this test.
func groupName(t *testing.T) string {
	return fmt.Sprintf("/stave-test-%s-%d", strings.ToLower(t.Name()), os.Getpid())
}

// foreign makes a group of the hierarchy with the controller pids, as somebody else's.
func foreign(t *testing.T, path string) string {
	t.Helper()
	_, mount := hierarchyOf(t, "pids")
	dir := filepath.Join(mount, path)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { witness.Until(t, dir+" is removed", func() bool { return os.Remove(dir) == nil }) })
	return dir
}

// TestGroupsOfOthers names a cgroup below which others have theirs, with a process or without: it is refused, and
// both stay.
func TestGroupsOfOthers(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	name := groupName(t)
	foreign(t, name)
	kid, empty := foreign(t, name+"/kid"), foreign(t, name+"/empty")
	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		sleeper.Process.Kill()
		sleeper.Wait()
	}()
	put(t, kid+"/cgroup.procs", fmt.Sprint(sleeper.Process.Pid), 0o644)
	for _, script := range []string{"true", "exec no-such-command"} {
		got := run(t, oci(newBundle(t, script, inGroup(name))))
		if got.code != 1 || !strings.Contains(got.err, name) || !strings.Contains(got.err, "already") {
			t.Errorf("exit code %d, %s", got.code, got.err)
		}
	}
	if err := unix.Kill(sleeper.Process.Pid, 0); err != nil {
		t.Errorf("the process of another group was ended: %v", err)
	}
	put(t, filepath.Join(filepath.Dir(filepath.Dir(kid)), "cgroup.procs"), fmt.Sprint(sleeper.Process.Pid), 0o644)
	if got := run(t, oci(newBundle(t, "true", inGroup(name)))); got.code != 1 || !strings.Contains(got.err, "groups below it") {
		t.Errorf("exit code %d, %s", got.code, got.err)
	}
	for _, dir := range []string{kid, empty} {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("somebody else's group is gone: %v", err)
		}
	}
}

// TestSameGroupAtOnce starts two containers with one cgroup at a time: one has it, and the other is refused or comes
// after it. Neither takes away what the other makes.
func TestSameGroupAtOnce(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	name := groupName(t)
	dir := newBundle(t, "exit 7", inGroup(name))
	for round := range 10 {
		got := make([]result, 2)
		var group sync.WaitGroup
		for i := range got {
			group.Go(func() {
				got[i] = run(t, exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, fmt.Sprintf("same-%d-%d", round, i)))
			})
		}
		group.Wait()
		ran := 0
		for _, g := range got {
			if g.code == 7 {
				ran++
			} else if g.code != 1 || !strings.Contains(g.err, "another container") && !strings.Contains(g.err, "already") {
				t.Errorf("exit code %d, %s", g.code, g.err)
			}
		}
		if ran == 0 {
			t.Errorf("neither of the two ran: %s, %s", got[0].err, got[1].err)
		}
	}
	if left := groupsNamed(t, name[1:]); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// TestAfterAKill runs a container in the cgroup of one whose stave-oci was killed, and one beside it in the folder that
// was made for it.
func TestAfterAKill(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	before := records(t)
	for where, names := range map[string][2]string{
		"the same": {groupName(t), groupName(t)}, "beside": {groupName(t) + "/one", groupName(t) + "/two"},
	} {
		t.Run(where, func(t *testing.T) {
			c := startReady(t, newBundle(t, "echo ready; exec cat", inGroup(names[0])))
			pids := members(t, names[0])
			if len(pids) == 0 {
				t.Fatal("the container has no process in its cgroup")
			}
			c.Process.Kill()
			c.Wait()
			for _, pid := range pids {
				unix.Kill(pid, unix.SIGKILL)
			}
			witness.Until(t, "the container has ended", func() bool { return len(members(t, names[0])) == 0 })
			dir := newBundle(t, "exit 7", inGroup(names[1]))
			sweptBy(t, dir, "after", before)
			if left := groupsNamed(t, groupName(t)[1:]); len(left) > 0 {
				t.Errorf("cgroups that nobody removed: %q", left)
			}
		})
	}
}

// TestCommonParent runs many containers at once in a folder that they make and remove themselves.
func TestCommonParent(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	name := groupName(t)
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			dir := newBundle(t, "exit 7", inGroup(fmt.Sprintf("%s/%d", name, i)))
			for n := range 10 {
				if got := run(t, exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, fmt.Sprintf("common-%d-%d", i, n))); got.code != 7 {
					t.Errorf("exit code %d, %s", got.code, got.err)
				}
			}
		})
	}
	group.Wait()
	if left := groupsNamed(t, name[1:]); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// TestNoRoomForTheClaim fills the file system with the claims: the error says so, also for a group in another one, and
// nothing is left.
func TestNoRoomForTheClaim(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	const claims = "/run/stave/cgroups"
	if err := os.MkdirAll(claims, 0o700); err != nil {
		t.Fatal(err)
	}
	mountOver(t, "tmpfs", claims, "tmpfs", 0, "size=4k")
	put(t, claims+"/filler", strings.Repeat("x", 4096), 0o600)
	lock, err := os.Open(claims + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // so that the sweep leaves it
		t.Fatal(err)
	}
	for _, name := range []string{groupName(t), groupName(t) + "/in/another"} {
		c := oci(newBundle(t, "true", inGroup(name)))
		got := make(chan result, 1)
		go func() { got <- run(t, c) }()
		select {
		case g := <-got:
			if g.code != 1 || !strings.Contains(g.err, "no space left on device") {
				t.Errorf("exit code %d, %s", g.code, g.err)
			}
		case <-time.After(time.Minute):
			c.Process.Kill()
			t.Fatal("it waits for ever")
		}
	}
	if left := groupsNamed(t, groupName(t)[1:]); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
	entries, err := os.ReadDir(claims)
	if err != nil || len(entries) != 1 {
		t.Errorf("claims %v, %v", entries, err)
	}
}

// TestRootOfAUserNamespace runs a container as the root of a user namespace, who is not the machine's: he makes no cgroup.
func TestRootOfAUserNamespace(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox")
	dir := newBundle(t, "cat /proc/self/uid_map; exit 7", func(s *specs.Spec) {
		// He may mount a proc and a sysfs only where nothing of them is hidden, as by the engine of a container.
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" || m.Type == "cgroup2" || m.Type == "sysfs" })
		s.Process.Rlimits = nil
	}, without(specs.CgroupNamespace), without(specs.NetworkNamespace))
	c := oci(dir)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}},
	}
	c.Env = append(os.Environ(), "XDG_RUNTIME_DIR=")
	if got := run(t, c); got.code != 7 || !strings.HasSuffix(strings.TrimSpace(got.out), " 65536") {
		t.Errorf("exit code %d, %q, %s", got.code, got.out, got.err)
	}
}
