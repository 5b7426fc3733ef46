// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

func TestExitCodes(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"success":        {[]string{"true"}, 0},
		"own code":       {[]string{"sh", "-c", "exit 3"}, 3},
		"killed":         {[]string{"sh", "-c", "kill -KILL $$"}, 128 + 9},
		"terminated":     {[]string{"sh", "-c", "kill -TERM $$"}, 128 + 15},
		"not executable": {[]string{plain}, 126},
		"not there":      {[]string{"/no-such-command"}, 127},
		"not in PATH":    {[]string{"no-such-command"}, 127},
	} {
		t.Run(name, func(t *testing.T) {
			for user, cmd := range map[string]*exec.Cmd{"as we are": exec.Command(step, c.args...), "as nobody": nobody(exec.Command(step, c.args...))} {
				if _, code := finish(t, cmd); code != c.want {
					t.Errorf("%s: exit code %d, want %d", user, code, c.want)
				}
			}
		})
	}
}

// TestDescriptors looks for the folder that the step has open and forgot: only with -inherit may the command have it.
func TestDescriptors(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want bool
	}{"closed": {[]string{"cat"}, false}, "inherited": {[]string{"-inherit", "cat"}, true}} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, exec.Command(step, c.args...), "cat", false)
			files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", r.pid))
			if err != nil || len(files) < 3 {
				t.Fatalf("descriptors %v, error %v", files, err)
			}
			found := false
			for _, file := range files {
				target, _ := os.Readlink(file)
				found = found || target == "/"
			}
			if found != c.want {
				t.Errorf("the command has / open: %v, want %v", found, c.want)
			}
		})
	}
}

// TestSignalsArrive sends the step a signal that was meant for its command.
func TestSignalsArrive(t *testing.T) {
	r := begin(t, exec.Command(step, "cat"), "cat", false)
	if err := unix.Kill(r.cmd.Process.Pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the command has ended", func() bool { return unix.Kill(r.pid, 0) == unix.ESRCH })
	if code := r.end(); code != 128+15 {
		t.Errorf("exit code %d, want 143", code)
	}
}

// TestNothingOutlivesTheStep kills the step, which can do nothing about it; the kernel then kills the command.
func TestNothingOutlivesTheStep(t *testing.T) {
	r := begin(t, exec.Command(step, "cat"), "cat", false)
	if err := unix.Kill(r.cmd.Process.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the command is gone", func() bool { return unix.Kill(r.pid, 0) == unix.ESRCH })
	r.input.Close()
	r.cmd.Wait()
	if status := r.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGKILL {
		t.Errorf("the step ended with %v", status)
	}
}

func TestIgnoredSignalsAreReset(t *testing.T) {
	r := begin(t, exec.Command("sh", "-c", `trap "" HUP USR1; exec "$0" "$@"`, step, "cat"), "cat", false)
	if ignored := r.status(t, "SigIgn"); strings.Trim(ignored, "0") != "" {
		t.Errorf("the command ignores %s", ignored)
	}
}
