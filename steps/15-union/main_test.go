// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// user is who runs the step: what that needs, and how overlay's attributes begin for him.
type user struct {
	as     func(*exec.Cmd) *exec.Cmd
	prefix string
}

// users are root and nobody.
func users() map[string]user {
	return map[string]user{"root": {func(c *exec.Cmd) *exec.Cmd { return c }, "trusted.overlay."}, "userns": {nobody, "user.overlay."}}
}

// each runs a test for each user, with a stack of his in a folder.
func each(t *testing.T, test func(t *testing.T, u user, s stack)) {
	for need, u := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox", "filesystem:overlay")
			output, err := u.as(exec.Command("mktemp", "-d")).Output()
			if err != nil {
				t.Fatal(err)
			}
			s := stack{strings.TrimSpace(string(output))}
			t.Cleanup(func() { os.RemoveAll(s.dir) })
			test(t, u, s)
		})
	}
}

// TestBoth does the operations and looks at both upper folders for whiteouts, the opaque folder, the copy and its two names.
func TestBoth(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir)))
		if code != 0 || !strings.Contains(output, "The kernel's overlay gave the same answers, 14 in all.") {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		for _, line := range []string{"mv srv/old srv/new", "  -> invalid cross-device link", "  make a whiteout for srv/two", "  -> it has dir old one two"} {
			if !strings.Contains(output, line+"\n") {
				t.Errorf("no line %q in\n%s", line, output)
			}
		}
		for _, upper := range []string{"diff", "diff-go"} {
			check(t, s.path(upper, "srv"), u.prefix)
		}
	})
}

// check looks at the folder srv of an upper folder.
func check(t *testing.T, srv, prefix string) {
	t.Helper()
	stat := func(name string) *syscall.Stat_t {
		info, err := os.Lstat(filepath.Join(srv, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t)
	}
	if s := stat("dir"); s.Mode&unix.S_IFMT != unix.S_IFCHR || s.Rdev != 0 {
		t.Errorf("%s/dir is no whiteout: %o, device %d", srv, s.Mode, s.Rdev)
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(filepath.Join(srv, "two"), prefix+"opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("the mark of %s/two is %q, error %v", srv, value[:max(n, 0)], err)
	}
	if one, other := stat("one"), stat("two/one"); one.Ino != other.Ino || one.Nlink != 2 {
		t.Errorf("%s: two names are not one file: %d and %d, %d links", srv, one.Ino, other.Ino, one.Nlink)
	}
	if text, err := os.ReadFile(filepath.Join(srv, "one")); err != nil || string(text) != "I am layer2/srv/one\nmore\n" {
		t.Errorf("%s/one is %q, error %v", srv, text, err)
	}
	if _, err := os.Lstat(filepath.Join(srv, "old")); !os.IsNotExist(err) {
		t.Errorf("%s/old: error %v, want none of it", srv, err)
	}
}

// TestMount looks at the program that does the operations on the overlay, while it waits: what it has changed nobody else sees.
func TestMount(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		r := begin(t, u.as(exec.Command(step, "-dir", s.dir, "rm srv/two", "wait")), "again", false)
		mounts := witness.Mounts(t, r.pid)
		if !slices.ContainsFunc(mounts, func(m witness.Mount) bool { return m.Point == "/" && m.Type == "overlay" && !m.Shared() }) {
			t.Errorf("its mounts are %+v", mounts)
		}
		root := fmt.Sprintf("/proc/%d/root/srv/", r.pid)
		witness.Until(t, "the file is gone there", func() bool {
			_, err := os.Lstat(root + "two")
			return os.IsNotExist(err)
		})
		if _, err := os.Lstat(root + "one"); err != nil {
			t.Errorf("another file: %v", err)
		}
		if _, err := os.Lstat(s.path("layer2/srv/two")); err != nil {
			t.Errorf("the layer: %v", err)
		}
		if code := r.end(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, r.out.String())
		}
	})
}

// TestDifference changes what the kernel has to do the operations on, so that its answer is another.
func TestDifference(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		if output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir, "rm srv/one"))); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		if err := os.Remove(s.path("diff/srv/one")); err != nil { // the whiteout
			t.Fatal(err)
		}
		output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir, "ls srv")))
		if want := "ls srv: the union says it has dir old two, the kernel it has dir old one two\n"; code != 1 || !strings.Contains(output, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, output)
		}
		if err := os.WriteFile(s.path("diff/srv/one"), nil, 0o644); err != nil { // an answer is the same, a folder is not
			t.Fatal(err)
		}
		if output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir, "cat etc/motd"))); code != 1 {
			t.Errorf("exit code %d:\n%s", code, output)
		}
	})
}

// TestMistakes gives operations that are none, and names that lead out.
func TestMistakes(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	for operation, want := range map[string]string{
		"dance srv": "no operation", "rm": "no operation", "mv srv": "no operation", "cat srv": "is a directory", "rmdir srv/one": "not a directory", "mkdir srv": "file exists", "rm srv": "is a directory",
	} {
		output, code := finish(t, exec.Command(step, operation))
		if code != 0 || !strings.Contains(output, "\n  -> "+want) {
			t.Errorf("%s: exit code %d:\n%s", operation, code, output)
		}
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "stave-*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, error %v", left, err)
	}
}
