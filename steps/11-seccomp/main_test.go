// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// TestDenied lets the command make a file and a folder, and looks from outside which of them is there.
func TestDenied(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "seccomp", "command:busybox")
			r := begin(t, as(exec.Command(step, "sh", "-c", "touch /tmp/file; mkdir /tmp/folder; exec cat")), "cat", false)
			if mode := r.status(t, "Seccomp"); mode != "2" { // SECCOMP_MODE_FILTER
				t.Errorf("seccomp mode %s, want 2", mode)
			}
			if nnp := r.status(t, "NoNewPrivs"); nnp != "1" {
				t.Errorf("NoNewPrivs is %s", nnp)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/tmp/file", r.pid)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/tmp/folder", r.pid)); !os.IsNotExist(err) {
				t.Errorf("the folder is there: %v", err)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestOnlyThat proves that it is the filter that denies: with another call denied, the folder is there.
func TestOnlyThat(t *testing.T) {
	witness.Need(t, "userns", "seccomp", "command:busybox")
	r := begin(t, nobody(exec.Command(step, "-deny", "unlinkat,unlink", "sh", "-c", "mkdir /tmp/folder; touch /tmp/file; rm /tmp/file; exec cat")), "cat", false)
	for _, name := range []string{"folder", "file"} {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/tmp/%s", r.pid, name)); err != nil {
			t.Error(err)
		}
	}
	r.end()
}

// TestErrno denies execve itself: the last call of the set-up then ends with just that error, which the exit code shows.
func TestErrno(t *testing.T) {
	witness.Need(t, "userns", "seccomp", "command:busybox")
	for errno, want := range map[string]int{"1": 126, "2": 127, "28": 126} { // EPERM, ENOENT, ENOSPC
		if _, code := finish(t, nobody(exec.Command(step, "-deny", "execve", "-errno", errno, "true"))); code != want {
			t.Errorf("errno %s: exit code %d, want %d", errno, code, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for name, args := range map[string][]string{"unknown call": {"-deny", "no_such_call"}, "no errno": {"-errno", "5000"}} {
		if _, code := finish(t, exec.Command(step, append(args, "true")...)); code != 1 {
			t.Errorf("%s: exit code %d, want 1", name, code)
		}
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns", "seccomp", "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
