// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stave/internal/witness"
)

// This file is the same in every step: it builds the step once, starts it, and finds its command from outside.

// step is the path of the built step.
var step string

// built is a witness.Runner: it builds the step into a folder of its own before the tests, and removes it after them. It
// holds main, too, so that all that the step uses is part of the test binary: by that go test knows whether an earlier
// result is still good.
type built struct {
	tests witness.Runner
	main  func()
}

func TestMain(m *testing.M) { witness.Main(built{m, main}) }

func (b built) Run() int {
	dir, err := os.MkdirTemp("", "step")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	step = filepath.Join(dir, "step")
	if err := build(step); err != nil {
		fmt.Fprintln(os.Stderr, "build the step:", err)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some tests give up root
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return b.tests.Run()
}

// build builds the step, or copies it from the folder STAVE_STEPS: on an emulated processor the linker takes minutes.
func build(program string) error {
	folder := os.Getenv("STAVE_STEPS")
	if folder == "" {
		output, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, output)
		}
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(folder, filepath.Base(here)))
	if err != nil {
		return err
	}
	return os.WriteFile(program, text, 0o755)
}

// nobody makes a command run as an ordinary user, if the tests run as root.
func nobody(cmd *exec.Cmd) *exec.Cmd {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Dir = os.TempDir()
	return cmd
}

// finish runs a command to its end and returns what it printed, and its exit code.
func finish(t *testing.T, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if errors.Len() > 0 {
		t.Logf("%s: %s", cmd, errors.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// running is a step that runs a command which reads its input, and ends when that does.
type running struct {
	cmd   *exec.Cmd
	input io.Closer
	out   bytes.Buffer
	pid   int // of the command, as the test sees it
}

// begin starts a step and waits until its child, or the child of that where deeper is set, has become the program name.
func begin(t *testing.T, cmd *exec.Cmd, name string, deeper bool) *running {
	t.Helper()
	r := &running{cmd: cmd}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.input, cmd.Stdout, cmd.Stderr = input, &r.out, &r.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // a step that is killed can't remove its root folder, so it gets the time to end
		late := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		r.end()
	})
	witness.Until(t, "the step's command is "+name, func() bool {
		r.pid = child(cmd.Process.Pid)
		if deeper && r.pid > 0 {
			r.pid = child(r.pid)
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", r.pid))
		return r.pid > 0 && strings.TrimSpace(string(comm)) == name
	})
	return r
}

// end closes the command's input and returns the step's exit code.
func (r *running) end() int {
	r.input.Close()
	r.cmd.Wait() // the error is the exit code, or that it was called before
	return r.cmd.ProcessState.ExitCode()
}

// child returns the number of a child of a process, and 0 if it has none.
func child(pid int) int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		if first, _, found := strings.Cut(string(text), " "); found {
			n, _ := strconv.Atoi(first)
			return n
		}
	}
	return 0
}
