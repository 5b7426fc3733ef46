// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stave/internal/witness"
)

// secret makes a file with random text and returns both; nobody can print the text without having read the file.
func secret(t *testing.T) (file, token string) {
	t.Helper()
	file, token = filepath.Join(t.TempDir(), "token"), rand.Text()
	if err := os.Chmod(filepath.Dir(filepath.Dir(file)), 0o755); err != nil { // some tests give up root
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(token), 0o644); err != nil {
		t.Fatal(err)
	}
	return file, token
}

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// TestEscapeFails lets the program that leaves a chroot try here. It must start and make all its calls, or its failure means
// nothing: so it also reads a link that the root has.
func TestEscapeFails(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			file, token := secret(t)
			if output, code := finish(t, as(exec.Command(step, "escape", "cat", file))); code == 0 || output == token {
				t.Errorf("it got out: exit code %d, output %q", code, output)
			}
			if output, code := finish(t, as(exec.Command(step, "escape", "readlink", "/bin/cat"))); code != 0 || output != "busybox\n" {
				t.Errorf("it did not stay in the root: exit code %d, output %q", code, output)
			}
		})
	}
}

// TestSameEscape compares the program with that of 02-chroot.
func TestSameEscape(t *testing.T) {
	ours, err := os.ReadFile("escape.go")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile("../02-chroot/escape.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Error("the two differ")
	}
}

// TestOneMount looks at the mounts of the command: its root is all there is, and the host sees nothing of it.
func TestOneMount(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			before := len(witness.Mounts(t, 0))
			r := begin(t, as(exec.Command(step, "cat")), "cat", false)
			mounts := witness.Mounts(t, r.pid)
			if len(mounts) != 1 || mounts[0].Point != "/" || mounts[0].Shared() {
				t.Errorf("the command's mounts are %+v", mounts)
			}
			if after := len(witness.Mounts(t, 0)); after != before {
				t.Errorf("the host has %d mounts, and had %d", after, before)
			}
			if witness.Namespace(t, r.pid, "mnt") == witness.Namespace(t, 0, "mnt") {
				t.Error("the command is in the mount namespace of the test")
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
