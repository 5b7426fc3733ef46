// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// hog is a shell script that takes memory until it is killed; without a limit it stops before the machine suffers.
const hog = "x=stave; while [ ${#x} -lt 100000000 ]; do x=$x$x; done"

// users are who runs the step: root, and nobody in a part of the v2 tree that is his.
func users() map[string]func(*testing.T) func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*testing.T) func(*exec.Cmd) *exec.Cmd{
		"root": func(t *testing.T) func(*exec.Cmd) *exec.Cmd {
			needs(t, "memory")
			return func(c *exec.Cmd) *exec.Cmd { return c }
		},
		"delegated": func(t *testing.T) func(*exec.Cmd) *exec.Cmd { return delegated(t, "memory") },
	}
}

// TestLimit reads the limits of a running command in the kernel's files. Version 1 limits memory and swap together, version
// 2 swap alone: the sum that is given is not what is written there.
func TestLimit(t *testing.T) {
	needs(t, "memory")
	const mib = 1 << 20
	for name, c := range map[string]struct {
		args               []string
		memory, both, swap string
	}{
		"no swap": {[]string{"-memory", "64m"}, strconv.Itoa(64 * mib), strconv.Itoa(64 * mib), "0"},
		"swap":    {[]string{"-memory", "64m", "-memory-swap", "96m"}, strconv.Itoa(64 * mib), strconv.Itoa(96 * mib), strconv.Itoa(32 * mib)},
		"any":     {[]string{"-memory", "65536k", "-memory-swap", "-1"}, strconv.Itoa(64 * mib), "", "max"},
	} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, exec.Command(step, append(c.args, "cat")...), "cat", false)
			if got := r.file(t, "memory", "memory.limit_in_bytes", "memory.max"); got != c.memory {
				t.Errorf("the limit of memory is %s, want %s", got, c.memory)
			}
			got, version := r.file(t, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), r.folder(t, "memory").Version
			switch {
			case version == 2 && got != c.swap:
				t.Errorf("the limit of swap is %s, want %s", got, c.swap)
			case version == 1 && c.both != "" && got != c.both:
				t.Errorf("the limit of memory and swap is %s, want %s", got, c.both)
			case version == 1 && c.both == "" && len(got) < 19: // pages of any size: 9223372036854771712
				t.Errorf("the limit of memory and swap is %s, want none", got)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestHog lets a command take more than it has, beside another one.
func TestHog(t *testing.T) {
	for name, user := range users() {
		t.Run(name, func(t *testing.T) {
			as := user(t)
			neighbour := begin(t, as(exec.Command(step, "-memory", "4m", "cat")), "cat", false)
			if _, code := finish(t, as(exec.Command(step, "-memory", "4m", "sh", "-c", hog))); code != 128+9 {
				t.Errorf("exit code %d, want 137", code)
			}
			if code := neighbour.end(); code != 0 {
				t.Errorf("the neighbour ended with %d", code)
			}
		})
	}
}

// TestOneIsKilled kills a child of the command's: the kernel has counted that, and the command lives on.
func TestOneIsKilled(t *testing.T) {
	for name, user := range users() {
		t.Run(name, func(t *testing.T) {
			as := user(t)
			r := begin(t, as(exec.Command(step, "-memory", "4m", "sh", "-c", "("+hog+"); exec cat")), "cat", false)
			if n := keyed(t, r.file(t, "memory", "memory.oom_control", "memory.events"), "oom_kill"); n != 1 {
				t.Errorf("%d processes were killed for want of memory, want 1", n)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestFromTheFirst gives a command less than its set-up takes: were it limited only later, it would run and leave a file.
func TestFromTheFirst(t *testing.T) {
	needs(t, "memory")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if _, code := finish(t, exec.Command(step, "-memory", "64k", "-root", root, "touch", "/tmp/ran")); code == 0 {
		t.Error("64 KiB were enough")
	}
	if _, err := os.Stat(filepath.Join(root, "tmp", "ran")); !os.IsNotExist(err) {
		t.Errorf("the command has run: %v", err)
	}
	for range 5 { // its first act is to read where it is
		output, code := finish(t, exec.Command(step, "cat", "/proc/self/cgroup"))
		for line := range strings.Lines(output) {
			if !strings.Contains(line, ":/"+groupPrefix) {
				t.Errorf("at first the command is in %q", line)
			}
		}
		if code != 0 || output == "" {
			t.Errorf("exit code %d, cgroups %q", code, output)
		}
	}
}

// TestNothingIsLeft looks for the cgroup after each end: the command's own, a signal, a command that is not there.
func TestNothingIsLeft(t *testing.T) {
	needs(t, "memory")
	for name, c := range map[string]struct {
		script string
		want   int
	}{"own code": {"exit 3", 3}, "signal": {"kill -TERM 1; sleep 60", 143}, "orphan": {"sleep 60 & exit 4", 4}} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, exec.Command(step, "sh", "-c", "trap 'exit 143' TERM; read x; "+c.script), "sh", false)
			folder := r.folder(t, "memory").Path
			if code := r.end(); code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			if err := unix.Access(folder, unix.F_OK); err != unix.ENOENT {
				t.Errorf("%s: %v", folder, err)
			}
		})
	}
	if _, code := finish(t, exec.Command(step, "/no-such-command")); code != 127 { // the witness looks for its cgroup
		t.Errorf("exit code %d, want 127", code)
	}
}

// TestMistakes gives limits that can't be: the command must not run without them.
func TestMistakes(t *testing.T) {
	needs(t, "memory")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for name, args := range map[string][]string{
		"no size": {"-memory", "much"}, "negative": {"-memory", "-5"}, "too large": {"-memory", "9999999999g"},
		"swap below memory": {"-memory", "64m", "-memory-swap", "32m"},
	} {
		_, code := finish(t, exec.Command(step, append(args, "-root", root, "touch", "/tmp/ran")...))
		if _, err := os.Stat(filepath.Join(root, "tmp", "ran")); code != 1 || !os.IsNotExist(err) {
			t.Errorf("%s: exit code %d, want 1; the file: %v", name, code, err)
		}
	}
}

// TestNothingDelegated runs the step as a user who has no cgroup to limit.
func TestNothingDelegated(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	if os.Geteuid() != 0 {
		t.Skip("needs root: this user's session may have a cgroup of his own")
	}
	if output, code := finish(t, nobody(exec.Command(step, "echo", "ran"))); code != 1 || output != "" {
		t.Errorf("exit code %d, output %q", code, output)
	}
}
