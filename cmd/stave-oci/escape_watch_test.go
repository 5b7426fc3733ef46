// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// unfiltered takes the filter of system calls away, which would hide what else refuses.
func unfiltered(s *specs.Spec) { s.Linux.Seccomp = nil }

// TestJoiningCannotBeWatched executes processes in a container whose root tries to look into each of them before it has
// executed its command: by ptrace(2), process_vm_readv(2), pidfd_getfd(2) and the files below /proc/PID (CVE-2016-9962). With a
// user namespace he may have CAP_SYS_PTRACE. Without one that capability is the host's, and the kernel lets him look; what
// there is to see then must not lead to the host.
func TestJoiningCannotBeWatched(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, c := range map[string]struct {
		changes []change
		refused string // what must not have been possible; "" for nothing at all
	}{
		"docker's rights":         {nil, " of "},
		"tracing, user namespace": {[]change{tracing, mapped}, " of "},
		"tracing on the host":     {[]change{tracing}, "folder of "},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack(t, "spy", nil, append(c.changes, unfiltered)...)
			for tries := 0; a.count("tried") < 20; tries++ {
				if tries == 300 {
					t.Fatalf("in %d executions nobody was seen before his command: %s", tries, a.end(t))
				}
				if got := do(t, "exec", a.id, "true"); got.code != 0 {
					t.Fatalf("%+v", got)
				}
			}
			if report := a.end(t); strings.Contains(report, c.refused) {
				t.Errorf("the process was looked into: %s", report)
			}
		})
	}
}

// TestWaitingCannotBeWatched looks at the process that waits between create and start from a container that has joined its
// PID namespace, and at what it has open: nothing that leads to the host (CVE-2024-21626, CVE-2016-9962).
func TestWaitingCannotBeWatched(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	waiting := create(t, newBundle(t, "true"))
	checkWaiting(t, waiting)
	a := attack(t, "spy", nil, unfiltered, joins(specs.PIDNamespace, waiting.pid))
	a.until(t, "tried", 40)
	if report := a.end(t); strings.Contains(report, " of ") {
		t.Errorf("the process was looked into: %s", report)
	}
	must(t, "start", waiting.id)
}

// checkWaiting looks at what a waiting process has open, beside its standard streams, once it waits, and at where it is.
func checkWaiting(t *testing.T, k kept) {
	t.Helper()
	folder := fmt.Sprintf("/proc/%d/", k.pid)
	witness.Until(t, "the waiting process has nothing open but sockets", func() bool {
		entries, err := os.ReadDir(folder + "fd")
		return err == nil && len(entries) > 3 && !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			to, _ := os.Readlink(folder + "fd/" + e.Name())
			return !slices.Contains([]string{"0", "1", "2"}, e.Name()) && !strings.HasPrefix(to, "socket:")
		})
	})
	rootfs, err := os.Stat(filepath.Join(k.bundle, "rootfs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "cwd"} {
		if is, err := os.Stat(folder + name); err != nil || !os.SameFile(is, rootfs) {
			t.Errorf("its %s is not the container's: %v", name, err)
		}
	}
}

// TestStartIsForTheOwner tries to start a container as another user of the host, by the socket on which it waits: he must not
// reach it, nor read what is kept of the container, whatever the umask was.
func TestStartIsForTheOwner(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "true")
	id := "stave-test-" + filepath.Base(dir)
	t.Cleanup(func() { must(t, "delete", "--force", id) })
	c := exec.Command("busybox", "sh", "-c", `umask 0; exec "$@" >/dev/null 2>&1`, "sh", staveOCI, "--root", root, "create", "--bundle", dir, id)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(root, id)
	got := run(t, asUser(exec.Command(inside, "connect", kept+"/start.sock"), 1000))
	if got.out != "connect: permission denied\n" {
		t.Errorf("another user: %+v", got)
	}
	entries, err := os.ReadDir(kept)
	if err != nil || len(entries) < 3 {
		t.Fatalf("%d files: %v", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

// TestExecDescriptors executes a process while stave-oci has descriptors of the host open: none comes along. Nor is one of
// them, or of the runtime's own, a folder to start in, by its name or by a link of the image (CVE-2024-21626).
func TestExecDescriptors(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t, writable)
	put(t, filepath.Join(k.bundle, "rootfs/inside"), "", 0o644)
	host, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	exec := func(args ...string) result {
		c := exec.Command(staveOCI, append([]string{"--root", root, "exec"}, args...)...)
		for range 12 {
			c.ExtraFiles = append(c.ExtraFiles, host)
		}
		return run(t, c)
	}
	const list = `for n in /proc/$$/fd/*; do readlink $n >/dev/null && echo -n "${n##*/} "; done`
	if got := exec(k.id, "sh", "-c", list); got.out != "0 1 2 " {
		t.Errorf("open in the container: %+v", got)
	}
	if got := exec("--preserve-fds", "1", k.id, "sh", "-c", list); got.out != "0 1 2 3 " {
		t.Errorf("one kept: %+v", got)
	}
	for n := range 21 {
		path := fmt.Sprintf("/proc/self/fd/%d", n)
		if got := exec("--cwd", path, k.id, "sh", "-c", "ls"); got.code == 0 || got.out != "" {
			t.Errorf("%s: %+v", path, got)
		}
		link("data", path)(t, k.bundle)
		if got := exec("--cwd", "/data", k.id, "sh", "-c", "ls"); got.code == 0 || got.out != "" {
			t.Errorf("a link to %s: %+v", path, got)
		}
	}
}
