// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// host is a process in namespaces of its own, made without any code of stave's.
func host(t *testing.T, as func(*exec.Cmd) *exec.Cmd, options ...string) *running {
	t.Helper()
	options = append(options, "--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--time", "--fork", "cat")
	return begin(t, as(exec.Command("unshare", options...)), "cat", false)
}

// TestJoin compares all namespaces of the command with those of the process that it joined.
func TestJoin(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need)
			var options []string
			if need == "userns" {
				options = []string{"--user", "--map-root-user"}
			}
			them := host(t, as, options...)
			us := begin(t, as(exec.Command(step, "-pid", strconv.Itoa(them.pid), "cat")), "cat", false)
			for _, kind := range []string{"mnt", "uts", "ipc", "pid", "net", "cgroup", "time", "user"} {
				if a, b := witness.Namespace(t, us.pid, kind), witness.Namespace(t, them.pid, kind); a != b {
					t.Errorf("%s namespace %d, want %d", kind, a, b)
				}
			}
			if witness.Namespace(t, us.pid, "pid") == witness.Namespace(t, 0, "pid") {
				t.Error("the command is in the PID namespace of the test")
			}
			if code := us.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if code := them.end(); code != 0 {
				t.Errorf("the process that was joined ended with %d", code)
			}
		})
	}
}

// TestAlone lets the step make the container. Its process 1 is there too, and nothing of it is left in the end.
func TestAlone(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			before := len(witness.Mounts(t, 0))
			cmd := as(exec.Command(step, "sh", "-c", "ls /proc; exit 3"))
			output, code := finish(t, cmd)
			if code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			if seen := strings.Fields(output); !slices.Contains(seen, "1") || slices.Contains(seen, strconv.Itoa(os.Getpid())) {
				t.Errorf("the command sees %v in /proc", seen)
			}
			if after := len(witness.Mounts(t, 0)); after != before {
				t.Errorf("the host has %d mounts, and had %d", after, before)
			}
		})
	}
}

// TestGone joins a process that has ended.
func TestGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, code := finish(t, exec.Command(step, "-pid", fmt.Sprint(cmd.Process.Pid), "true")); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
}
