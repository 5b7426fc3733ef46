// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// seen says whether a process (0 is the test) sees a tmpfs on a folder.
func seen(t *testing.T, pid int, folder string) bool {
	t.Helper()
	return slices.ContainsFunc(witness.Mounts(t, pid), func(m witness.Mount) bool { return m.Point == folder && m.Type == "tmpfs" })
}

// TestPropagation runs the step where / is shared, as systemd makes it, and looks at the mounts of both sides.
func TestPropagation(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		leaks bool
	}{"private": {nil, false}, "without MS_PRIVATE": {[]string{"-leak"}, true}} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			witness.SharedRoot(t, func() {
				r := begin(t, exec.Command(step, append(c.args, "-on", folder, "cat")...), "cat", false)
				if witness.Namespace(t, r.pid, "mnt") == witness.Namespace(t, 0, "mnt") {
					t.Error("the command is in the mount namespace of the test")
				}
				if !seen(t, r.pid, folder) {
					t.Error("the command does not see its mount")
				}
				if got := seen(t, 0, folder); got != c.leaks {
					t.Errorf("the host sees the mount: %v, want %v", got, c.leaks)
				}
				if code := r.end(); code != 0 {
					t.Errorf("exit code %d", code)
				}
				if seen(t, 0, folder) {
					t.Error("the step left the mount on the host")
				}
			})
		})
	}
}

// TestOrdinaryUser runs the step without root. Even -leak does not leak then: a mount namespace that belongs to another
// user namespace gets slaves of the shared mounts, not peers.
func TestOrdinaryUser(t *testing.T) {
	witness.Need(t, "userns")
	for name, args := range map[string][]string{"private": nil, "without MS_PRIVATE": {"-leak"}} {
		t.Run(name, func(t *testing.T) {
			folder, err := os.MkdirTemp("", "on")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Remove(folder) })
			if err := unix.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			r := begin(t, nobody(exec.Command(step, append(args, "-on", folder, "cat")...)), "cat", false)
			if !seen(t, r.pid, folder) || seen(t, 0, folder) {
				t.Errorf("the command sees the mount: %v, the host: %v", seen(t, r.pid, folder), seen(t, 0, folder))
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
