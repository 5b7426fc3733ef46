// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// last is the last word of a text: NSpid of proc_pid_status(5) ends with the number in the innermost PID namespace.
func last(text string) string {
	words := strings.Fields(text)
	return words[len(words)-1]
}

// children counts the children of a process, and the zombies among them.
func children(pid int) (all, zombies int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for number := range strings.FieldsSeq(string(text)) {
			status, _ := os.ReadFile("/proc/" + number + "/status")
			all++
			if strings.Contains(string(status), "\nState:\tZ") {
				zombies++
			}
		}
	}
	return all, zombies
}

func TestProcessOne(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			r := begin(t, as(exec.Command(step, "cat")), "cat", false)
			if number := last(r.status(t, "NSpid")); number != "1" {
				t.Errorf("the command is process %s of its namespace", number)
			}
			if witness.Namespace(t, r.pid, "pid") == witness.Namespace(t, 0, "pid") {
				t.Error("the command is in the PID namespace of the test")
			}
			seen, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*", r.pid))
			if err != nil || len(seen) != 1 || filepath.Base(seen[0]) != "1" {
				t.Errorf("its /proc shows %v", seen)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestSignals sends the command a SIGTERM, which it has no handler for. As process 1 it does not even notice.
func TestSignals(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{"process 1": {nil, 0}, "below init": {[]string{"-init"}, 128 + 15}} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, "userns", "command:busybox")
			r := begin(t, nobody(exec.Command(step, append(c.args, "cat")...)), "cat", c.args != nil)
			if err := unix.Kill(r.cmd.Process.Pid, unix.SIGTERM); err != nil { // the step passes it on
				t.Fatal(err)
			}
			if c.want != 0 {
				witness.Until(t, "the command has ended", func() bool { return unix.Kill(r.pid, 0) == unix.ESRCH })
			} else if err := unix.Kill(r.pid, unix.SIGTERM); err != nil { // and once more, straight to the command
				t.Fatal(err)
			}
			if code := r.end(); code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
		})
	}
}

// TestOrphans leaves a process behind whose parent ends before it. Its next parent is process 1: cat never waits for it, so
// it stays as a zombie; init does.
func TestOrphans(t *testing.T) {
	const script = `sh -c "sleep 1 & exit"; exec cat`
	for name, c := range map[string]struct {
		args         []string
		all, zombies int // the children of process 1
	}{"process 1": {nil, 1, 1}, "below init": {[]string{"-init"}, 1, 0}} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, "userns", "command:busybox")
			r := begin(t, nobody(exec.Command(step, append(c.args, "sh", "-c", script)...)), "cat", c.args != nil)
			witness.Until(t, fmt.Sprintf("process 1 has %d children, %d of them zombies", c.all, c.zombies), func() bool {
				all, zombies := children(child(r.cmd.Process.Pid))
				return all == c.all && zombies == c.zombies
			})
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	for name, args := range map[string][]string{"process 1": nil, "below init": {"-init"}} {
		t.Run(name, func(t *testing.T) {
			if _, code := finish(t, nobody(exec.Command(step, append(args, "sh", "-c", "exit 3")...))); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
		})
	}
}
