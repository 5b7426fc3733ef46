// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// held starts a program that waits for its start, and returns a function that connects to it.
func held(t *testing.T, after ...Call) (process *Process, rest []string, connect func() int) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "socket")
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrUnix{Name: name}), unix.Listen(listener, 1)); err != nil {
		t.Fatal(err)
	}
	p := Program{
		Host:      []Call{clone(0), {Request: Await{"x"}}, {Request: Release{"x"}}},
		Container: append([]Call{nop(), {Request: Wait{"x"}}, {Request: Hold{Listener: "listener"}}}, after...),
	}
	if process, err = p.Start(Options{Slots: map[Slot]int{"listener": listener}}); err != nil {
		t.Fatal(err)
	}
	return process, p.Rest(), func() int {
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(socket) })
		if err := unix.Connect(socket, &unix.SockaddrUnix{Name: name}); err != nil {
			t.Fatal(err)
		}
		return socket
	}
}

// TestHold starts a program that waits, looks at the process meanwhile, and lets it go on.
func TestHold(t *testing.T) {
	process, rest, connect := held(t, nop(), shell("exit 7"))
	if name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", process.Pid)); err != nil || strings.HasSuffix(name, "/sh") {
		t.Errorf("before the start the process runs %s %v", name, err)
	}
	ready := false
	if err := Resume(connect(), rest, func() error { ready = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 7 || !ready {
		t.Errorf("exit code %d, ready %v, %v", status.ExitStatus(), ready, err)
	}
}

// TestHoldFails holds a program whose next call fails: the starter is told which one.
func TestHoldFails(t *testing.T) {
	process, rest, connect := held(t, nop(), Call{Request: Exec{Args: []string{"/nonexistent"}}})
	err := Resume(connect(), rest, func() error { return nil })
	if want := "container call 5 of 5: execute /nonexistent: no such file or directory"; err == nil || err.Error() != want || !errors.Is(err, unix.ENOENT) {
		t.Errorf("%v, want %s", err, want)
	}
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 127 {
		t.Errorf("exit code %d %v", status.ExitStatus(), err)
	}
}

// TestHoldStarterLeaves breaks the connection before the program may go on: it ends.
func TestHoldStarterLeaves(t *testing.T) {
	process, rest, connect := held(t, shell("exit 0"))
	lost := errors.New("lost")
	socket := connect()
	if err := Resume(socket, rest, func() error { return lost }); !errors.Is(err, lost) {
		t.Errorf("%v, want %v", err, lost)
	}
	unix.Shutdown(socket, unix.SHUT_RDWR)
	if status, err := process.Wait(); err != nil || status.ExitStatus() != 127 {
		t.Errorf("exit code %d %v", status.ExitStatus(), err)
	}
}

// TestHoldForgets looks at the memory that a waiting process has for itself alone, beside a parent with a large heap.
func TestHoldForgets(t *testing.T) {
	heap := make([]byte, 32<<20)
	for i := range heap {
		heap[i] = byte(i)
	}
	process, rest, connect := held(t, shell("exit 0"))
	sum := 0
	witness.Until(t, "the process waits", func() bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		sum = 0
		for line := range strings.Lines(string(data)) {
			if fields := strings.Fields(line); fields[0] == "Pss:" {
				sum, _ = strconv.Atoi(fields[1])
			}
		}
		return sum < 1024
	})
	t.Logf("%d KiB", sum)
	if err := Resume(connect(), rest, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(); err != nil || heap[77] != 77 {
		t.Error(err)
	}
}

// TestFind looks for commands that are there, that are not, and that can't be executed.
func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		want    unix.Errno
	}{
		"path": {"/bin/sh", 0}, "name": {"sh", 0}, "no path": {"/nonexistent", unix.ENOENT}, "no name": {"nonexistent", unix.ENOENT},
		"no program": {"/etc/passwd", unix.EACCES},
	} {
		env := []string{"PATH=/nonexistent:/etc/passwd:/usr/bin:/bin"}
		find := Call{Request: Find{Args: []string{c.command}, Env: env}}
		process, err := Program{Host: []Call{clone(0)}, Container: []Call{find, shell("exit 0")}}.Start(Options{})
		if c.want == 0 && err == nil {
			process.Wait()
			continue
		}
		if c.want == 0 || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
