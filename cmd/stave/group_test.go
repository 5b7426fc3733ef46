// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// living is a stave run whose container has said "ready".
type living struct {
	t     *testing.T
	c     *exec.Cmd
	pid   int            // of the container's first process, on the host
	stdin io.WriteCloser // the container's; a script reads it to stay alive
	out   *writings
	errs  *writings
}

// writings is what a program has written so far.
type writings struct {
	mutex sync.Mutex
	text  strings.Builder
}

// Write appends.
func (w *writings) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.text.Write(p)
}

// String returns all of it.
func (w *writings) String() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.text.String()
}

// start starts a container and waits until it says "ready". What is left of it when the test ends is killed.
func start(t *testing.T, c *exec.Cmd) *living {
	t.Helper()
	l := &living{t: t, c: c, out: &writings{}, errs: &writings{}}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stdin, c.Stdout, c.Stderr = in, l.out, l.errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.c.ProcessState == nil {
			l.kill()
			l.end()
		}
	})
	witness.Until(t, "the container is ready or has ended", func() bool {
		var info unix.Siginfo
		ended := unix.Waitid(unix.P_PID, c.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) == nil && info.Signo != 0
		return strings.Contains(l.out.String(), "ready") || ended
	})
	if !strings.Contains(l.out.String(), "ready") {
		t.Fatalf("the container ended at once: %s%s", l.out, l.errs)
	}
	l.pid = childOf(t, c.Process.Pid)
	return l
}

// kill kills the container's first process, and with it all in its PID namespace.
func (l *living) kill() {
	if l.pid != 0 {
		unix.Kill(l.pid, unix.SIGKILL)
	} else {
		l.c.Process.Kill()
	}
}

// end closes the container's input, waits for stave and returns the exit code.
func (l *living) end() int {
	l.t.Helper()
	l.stdin.Close()
	wait(l.t, l.c)
	return code(l.c)
}

// hierarchy is where the cgroups of a controller are: its mount, and its version.
func hierarchy(t *testing.T, controller string) (version int, mount string) {
	t.Helper()
	unified := ""
	for _, m := range witness.Mounts(t, 0) {
		options := "," + m.Super + ","
		switch {
		case m.Type == "cgroup" && strings.Contains(options, ","+controller+","):
			return 1, m.Point
		case m.Type == "cgroup" && controller == "io" && strings.Contains(options, ",blkio,"):
			return 1, m.Point
		case m.Type == "cgroup2":
			unified = m.Point
		}
	}
	return 2, unified
}

// groupOf is the folder of a process's cgroup in the hierarchy of a controller (by its v2 name), and the version.
func groupOf(t *testing.T, pid int, controller string) (version int, folder string) {
	t.Helper()
	version, mount := hierarchy(t, controller)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	name := map[string]string{"io": "blkio"}[controller]
	if name == "" {
		name = controller
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if version == 2 && parts[1] == "" || version == 1 && strings.Contains(","+parts[1]+",", ","+name+",") {
			return version, filepath.Join(mount, parts[2])
		}
	}
	t.Fatalf("process %d is in no cgroup of %s:\n%s", pid, controller, text)
	return 0, ""
}

// contents reads a kernel's file, without the line feed at its end; it is empty where there is no such file.
func contents(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// field is the number behind a word in a file of lines "word number", such as cpu.stat.
func field(t *testing.T, file, word string) uint64 {
	t.Helper()
	for line := range strings.Lines(contents(t, file)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == word {
			n, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s: %s", file, word, contents(t, file))
	return 0
}

// groupsLeft lists the cgroups of all hierarchies whose paths contain a text.
func groupsLeft(t *testing.T, part string) []string {
	t.Helper()
	var left []string
	for _, m := range witness.Mounts(t, 0) {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			continue
		}
		for _, pattern := range []string{"/*", "/*/*"} {
			found, _ := filepath.Glob(m.Point + pattern)
			for _, dir := range found {
				if info, err := os.Stat(dir); err == nil && info.IsDir() && strings.Contains(dir, part) {
					left = append(left, dir)
				}
			}
		}
	}
	return left
}

// parent names a cgroup for the containers of one test, which stave makes and removes.
func parent(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("/stave-test-%d-%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(filepath.Base(t.Name()), " ", "-")))
	t.Cleanup(func() {
		if left := groupsLeft(t, name); len(left) > 0 {
			t.Errorf("cgroups that nobody removed: %q", left)
		}
	})
	return name
}
