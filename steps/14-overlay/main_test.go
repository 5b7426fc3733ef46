// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// content describes a layer: every file with its mode, time, device number and bytes.
func content(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		text := info.Mode().String() + " " + info.ModTime().String()
		if info.Mode().IsRegular() {
			bytes, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(bytes)
			text += string(sum[:])
		}
		all[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMount looks at the mounts of a running command: its root is an overlay, and the host sees nothing of it.
func TestMount(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		before := witness.Mounts(t, 0)
		r := begin(t, u.as(exec.Command(step, "-dir", s.dir, "cat")), "cat", false)
		mounts := witness.Mounts(t, r.pid)
		root := slices.IndexFunc(mounts, func(m witness.Mount) bool { return m.Point == "/" })
		if root < 0 || mounts[root].Type != "overlay" || mounts[root].Shared() {
			t.Errorf("the command's mounts are %+v", mounts)
		}
		if after := witness.Mounts(t, 0); len(after) != len(before) {
			t.Errorf("the host has the mounts %+v, and had %+v", after, before)
		}
		if _, err := os.Stat(s.path("merged", "srv")); err == nil {
			t.Error("the host sees what is mounted for the command")
		}
		if code := r.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// TestChanges lets a command change its files and looks at the folders: the marks in the upper one, and layers as before. A second command
// finds what the first has changed.
func TestChanges(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		if output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir, "cat", "/etc/motd"))); code != 1 || output != "" {
			t.Errorf("a file with a whiteout in the second layer: exit code %d, output %q", code, output)
		}
		before := content(t, s.path("layer1"))
		upper := content(t, s.path("layer2"))
		if _, code := finish(t, u.as(exec.Command(step, "-dir", s.dir))); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		if diff := cmp.Diff(before, content(t, s.path("layer1"))) + cmp.Diff(upper, content(t, s.path("layer2"))); diff != "" {
			t.Errorf("the layers have changed:\n%s", diff)
		}
		checkUpper(t, u, s)
		want := "dir\nold\none\nI am layer2/srv/one\nI am changed\n"
		if output, code := finish(t, u.as(exec.Command(step, "-dir", s.dir, "sh", "-c", "ls /srv; cat /srv/one"))); code != 0 || output != want {
			t.Errorf("the second command: exit code %d, output %q", code, output)
		}
	})
}

// checkUpper looks for a whiteout, an opaque folder and a copy in the upper folder.
func checkUpper(t *testing.T, u user, s stack) {
	t.Helper()
	info, err := os.Lstat(s.path("diff/srv/two"))
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Mode&unix.S_IFMT != unix.S_IFCHR || stat.Rdev != 0 {
		t.Errorf("the removed file is %v, device %d", info.Mode(), stat.Rdev)
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(s.path("diff/srv/dir"), u.prefix+"opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("the replaced folder's mark is %q, error %v", value, err)
	}
	if text, err := os.ReadFile(s.path("diff/srv/one")); err != nil || string(text) != "I am layer2/srv/one\nI am changed\n" {
		t.Errorf("the changed file is %q, error %v", text, err)
	}
	var names []string
	for _, name := range []string{"diff", "diff/srv", "diff/srv/dir"} {
		entries, err := os.ReadDir(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	}
	if slices.Contains(names, "old") || slices.Contains(names, "bin") || !slices.Contains(names, "six") {
		t.Errorf("the upper folder has %v", names)
	}
}

// TestShow compares what the step says of an upper folder with a real one.
func TestShow(t *testing.T) {
	each(t, func(t *testing.T, u user, s stack) {
		output, err := u.as(exec.Command(step, "-dir", s.dir)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		for name, want := range map[string]string{"srv/two": "a whiteout", "srv/dir": "opaque", "srv": "together", "srv/one": "instead", "srv/dir/six": "instead"} {
			line := ""
			for each := range strings.Lines(string(output)) {
				if words := strings.Fields(each); len(words) > 2 && words[1] == name {
					line = each
				}
			}
			if !strings.Contains(line, want) {
				t.Errorf("%s: the step says %q, want %q", name, line, want)
			}
		}
	})
}

// TestTemporary runs the step without a folder: nothing is left, whatever the command's exit code is.
func TestTemporary(t *testing.T) {
	for need, u := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox", "filesystem:overlay")
			if _, code := finish(t, u.as(exec.Command(step, "sh", "-c", "rm /srv/one; exit 3"))); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			if left, err := filepath.Glob(filepath.Join(os.TempDir(), "stave-*")); err != nil || len(left) > 0 {
				t.Errorf("left %v, error %v", left, err)
			}
		})
	}
}

// TestExplain looks for the mount among the calls, which are not made.
func TestExplain(t *testing.T) {
	witness.Need(t, "command:busybox")
	dir := filepath.Join(t.TempDir(), "stack")
	output, code := finish(t, exec.Command(step, "-dir", dir, "-explain"))
	if want := "(cd " + dir + " && mount -t overlay -o lowerdir=layer2:layer1,upperdir=diff,workdir=work"; code != 0 || !strings.Contains(output, want) {
		t.Errorf("exit code %d, no %q in\n%s", code, want, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "diff")); err == nil {
		t.Error("the upper folder has been made")
	}
}
