// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"fmt"
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

// TestRoot looks at the root of the command through /proc: it is the folder that was given.
func TestRoot(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	r := begin(t, exec.Command(step, "-root", root, "cat"), "cat", false)
	for _, link := range []string{"root", "cwd"} {
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/%s", r.pid, link)); err != nil || target != root {
			t.Errorf("%s is %q (%v), want %q", link, target, err, root)
		}
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestHidden proves that a path from outside leads nowhere inside.
func TestHidden(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	file, token := secret(t)
	if output, code := finish(t, exec.Command(step, "cat", file)); code == 0 || output == token {
		t.Errorf("exit code %d, output %q", code, output)
	}
}

// TestEscape reads the file from inside, with the program of the step.
func TestEscape(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	file, token := secret(t)
	if output, code := finish(t, exec.Command(step, "escape", "cat", file)); code != 0 || output != token {
		t.Errorf("exit code %d, output %q, want %q", code, output, token)
	}
}

// TestEscapeInUserNamespace does the same as an ordinary user who is root only of a user namespace.
func TestEscapeInUserNamespace(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	file, token := secret(t)
	cmd := exec.Command("unshare", "--user", "--map-root-user", step, "escape", "cat", file)
	if output, code := finish(t, nobody(cmd)); code != 0 || output != token {
		t.Errorf("exit code %d, output %q, want %q", code, output, token)
	}
}

func TestOrdinaryUserIsRefused(t *testing.T) {
	witness.Need(t, "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "true"))); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	if _, code := finish(t, exec.Command(step, "sh", "-c", "exit 3")); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
