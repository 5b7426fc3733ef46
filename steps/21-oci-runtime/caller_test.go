// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// This file calls the runtime as an engine does.

// caller is the step with a bundle, and a folder of its own in which it keeps containers.
type caller struct {
	t      *testing.T
	as     func(*exec.Cmd) *exec.Cmd
	dir    string // has config.json, and kept
	config config
}

// users are who runs the step, and what that needs. Where all is slow it is root alone.
func users() map[string]int {
	if testing.Short() {
		return map[string]int{"root": 0}
	}
	return map[string]int{"root": 0, "userns": 65534}
}

// newCaller makes a bundle for a user: the example with a command that waits.
func newCaller(t *testing.T, uid int) *caller {
	t.Helper()
	witness.Need(t, "command:busybox")
	u := &caller{t: t, as: func(c *exec.Cmd) *exec.Cmd { return c }, dir: t.TempDir()}
	if uid != 0 {
		witness.Need(t, "userns")
		u.as = nobody
		uid = map[bool]int{true: 65534, false: os.Geteuid()}[os.Geteuid() == 0]
	} else {
		witness.Need(t, "root")
	}
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	if u.config, err = exampleFor(uid, uid); err != nil {
		t.Fatal(err)
	}
	u.config.Root = specs.Root{Path: root}
	u.config.Process.Args = []string{"sleep", "1000"}
	u.config.Linux.Resources = nil
	for folder := u.dir; os.Geteuid() == 0 && folder != os.TempDir() && folder != "/"; folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(u.dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	u.write()
	t.Cleanup(func() { // whatever a failed test has left
		for _, folder := range u.kept() {
			u.do("delete", "-force", filepath.Base(folder))
		}
	})
	return u
}

// write writes the configuration into the bundle.
func (u *caller) write() {
	u.t.Helper()
	text, err := json.Marshal(u.config)
	if err == nil {
		err = os.WriteFile(filepath.Join(u.dir, "config.json"), text, 0o644)
	}
	if err != nil {
		u.t.Fatal(err)
	}
}

// kept lists the folders of the containers that are kept.
func (u *caller) kept() []string {
	list, _ := filepath.Glob(filepath.Join(u.dir, "kept", "[a-z]*"))
	return list
}

// command is a command of the runtime.
func (u *caller) command(words ...string) *exec.Cmd {
	cmd := u.as(exec.Command(step, append([]string{"-root", filepath.Join(u.dir, "kept")}, words...)...))
	cmd.Dir = u.dir
	return cmd
}

// do does a command and returns its output and exit code. The output goes to a file: a container keeps a pipe open.
func (u *caller) do(words ...string) (output string, code int) {
	u.t.Helper()
	file, err := os.CreateTemp(u.t.TempDir(), "out")
	if err != nil {
		u.t.Fatal(err)
	}
	defer file.Close()
	cmd := u.command(words...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		u.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// must does a command that has to end with a code.
func (u *caller) must(code int, words ...string) string {
	u.t.Helper()
	output, got := u.do(words...)
	if got != code {
		u.t.Fatalf("%v: exit code %d, want %d\n%s", words, got, code, output)
	}
	return output
}

// create makes the container x and returns its process.
func (u *caller) create() *running {
	u.t.Helper()
	file := filepath.Join(u.dir, "number")
	u.must(0, "create", "-pid-file", file, "x")
	text, err := os.ReadFile(file)
	if err != nil {
		u.t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		u.t.Fatal(err)
	}
	return &running{pid: pid}
}

// state asks for the state of x.
func (u *caller) state() (s specs.State) {
	u.t.Helper()
	output := u.must(0, "state", "x")
	if err := json.Unmarshal([]byte(output), &s); err != nil {
		u.t.Fatalf("%v: %s", err, output)
	}
	return s
}

// is compares the state with what it has to be. Without a process the number is 0.
func (u *caller) is(status specs.ContainerState, pid int) {
	u.t.Helper()
	if s := u.state(); s.Status != status || s.Pid != pid || s.ID != "x" || s.Bundle != u.dir {
		u.t.Fatalf("the state is %+v, want %s, process %d, bundle %s", s, status, pid, u.dir)
	}
}

// runs tells what a process executes, and "" for one that has ended.
func (r *running) runs() string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.pid))
	return name
}

// cgroups lists the folders of the process's cgroups that the runtime has made.
func (r *running) cgroups(t *testing.T) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(r.read(t, "cgroup")) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); strings.Contains(parts[2], "/stave-") {
			found, _ := filepath.Glob("/sys/fs/cgroup" + parts[2])
			more, _ := filepath.Glob("/sys/fs/cgroup/*" + parts[2])
			list = append(list, append(found, more...)...)
		}
	}
	return list
}
