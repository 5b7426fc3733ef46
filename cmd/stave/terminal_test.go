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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// typist sits at a terminal: it types, and reads what a program writes there.
type typist struct {
	t             *testing.T
	master, slave *os.File
	command       *exec.Cmd
	mutex         sync.Mutex
	text          strings.Builder
	read          int           // up to where until has looked
	copied        chan struct{} // closed when all that was written has been read
}

// sitDown starts a command as the leader of a session on a new terminal of 20 rows and 70 columns (pts(4)).
func sitDown(t *testing.T, c *exec.Cmd) *typist {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &typist{t: t, master: os.NewFile(uintptr(fd), "master"), command: c, copied: make(chan struct{})}
	t.Cleanup(func() { p.master.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if p.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.slave.Close() })
	p.resize(20, 70)
	c.Stdin, c.Stdout, c.Stderr = p.slave, p.slave, p.slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	go func() {
		defer close(p.copied)
		io.Copy(p, p.master) // ends with EIO once nobody has the slave end open
	}()
	return p
}

// Write keeps what the program writes.
func (p *typist) Write(data []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.text.Write(data)
}

// String is all that was written so far.
func (p *typist) String() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.text.String()
}

// types types.
func (p *typist) types(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.master, text); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a text behind what was waited for before, and returns what stands before it.
func (p *typist) until(text string) string {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("written so far:\n%s", p)
		}
	}()
	before := ""
	witness.Until(p.t, "the program writes "+text, func() bool {
		at := strings.Index(p.String()[p.read:], text)
		if at < 0 {
			return false
		}
		before = p.String()[p.read : p.read+at]
		p.read += at + len(text)
		return true
	})
	return before
}

// resize changes the size of the window.
func (p *typist) resize(rows, columns uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		p.t.Fatal(err)
	}
}

// leave waits for the end of the command and of its output, and returns its exit code.
func (p *typist) leave() int {
	p.t.Helper()
	wait(p.t, p.command)
	p.slave.Close()
	select {
	case <-p.copied:
	case <-time.After(10 * time.Second):
		p.t.Errorf("somebody still has the terminal open")
	}
	return code(p.command)
}

// TestShellAtATerminal works in a shell as a person does, in the built-in image and in one of busybox.
func TestShellAtATerminal(t *testing.T) {
	witness.Need(t, "root")
	root := folder(t)
	makeRoot(t, root)
	for name, image := range map[string][]string{"lab": {"lab"}, "busybox": {"--rootfs", root}} {
		t.Run(name, func(t *testing.T) {
			p := sitDown(t, staveRun(append(image, "sh")...))
			p.until("# ")
			if name == "busybox" { // the image lab has no stty
				p.types("stty size; tty\r")
				p.until("20 70\r\n/dev/pts/0\r\n")
				p.until("# ")
				// Not at the prompt: there busybox draws the line anew when the size changes.
				p.types("echo look''ing; until [ \"$(stty size)\" = '33 44' ]; do sleep 0.05; done; echo se''en\r")
				p.until("\r\nlooking\r\n")
				p.resize(33, 44)
				p.until("seen\r\n")
				p.until("# ")
			}
			p.types("sh -c 'echo sleeping; exec sleep 1000'\r")
			p.until("\r\nsleeping\r\n")
			p.types("\x03") // Ctrl-C
			p.until("# ")
			p.types("echo code $?\r")
			p.until("code 130\r\n")
			p.until("# ")
			p.types("sh -c 'echo sleeping; exec sleep 1000'\r")
			p.until("\r\nsleeping\r\n")
			// The execve of a program with several threads, like the shell of the lab, forgets a stop that has just begun.
			witness.Until(t, "the job sleeps", func() bool { return sleeps(p.command.Process.Pid) })
			p.types("\x1a") // Ctrl-Z
			p.until("# ")
			p.types("jobs; bg; echo in the ground; kill %1; fg; echo again\r")
			p.until("Stopped")
			p.until("\r\nin the ground")
			p.until("\r\nagain")
			p.until("# ")
			p.types("exit 9\r")
			if got := p.leave(); got != 9 {
				t.Errorf("exit code %d, want 9", got)
			}
		})
	}
}

// sleeps tells whether a process below one executes sleep 1000.
func sleeps(pid int) bool {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(text)) {
			command, _ := os.ReadFile("/proc/" + child + "/cmdline")
			number, err := strconv.Atoi(child)
			if string(command) == "sleep\x001000\x00" || err == nil && sleeps(number) {
				return true
			}
		}
	}
	return false
}

// TestTerminalIsPutBack compares the caller's terminal before and after a container had it.
func TestTerminalIsPutBack(t *testing.T) {
	witness.Need(t, "root")
	p := sitDown(t, exec.Command("bash", "-c", `stty -g; "$0" run lab echo x; stty -g; echo end`, stave))
	words := strings.Fields(p.until("end\r\n"))
	if len(words) != 3 || words[0] != words[2] || words[1] != "x" {
		t.Errorf("stty -g before, what the container wrote, stty -g afterwards: %q", words)
	}
	p.leave()
}

// TestManyBytes sends ten megabytes through a pipe and through a terminal.
func TestManyBytes(t *testing.T) {
	witness.Need(t, "root")
	root := folder(t)
	makeRoot(t, root)
	const size = 10 << 20
	const script = "stty -onlcr 2>/dev/null; dd if=/dev/zero bs=65536 count=160 2>/dev/null | tr '\\0' x"
	if got := run(t, staveRun("--rootfs", root, "sh", "-c", script)); len(got.out) != size || got.code != 0 {
		t.Errorf("through a pipe came %d bytes and the exit code %d, want %d and 0", len(got.out), got.code, size)
	}
	p := sitDown(t, staveRun("--rootfs", root, "sh", "-c", script))
	if code := p.leave(); strings.Count(p.String(), "x") != size || code != 0 {
		t.Errorf("through a terminal came %d bytes and the exit code %d, want %d and 0", strings.Count(p.String(), "x"), code, size)
	}
}

// TestHangUp closes the terminal in front of a container whose first process ignores SIGHUP.
func TestHangUp(t *testing.T) {
	witness.Need(t, "root")
	p := sitDown(t, staveRun("lab", "sh", "-c", "trap '' HUP; echo ready; while :; do sleep 1; done"))
	p.until("ready")
	p.slave.Close()
	p.master.Close()
	wait(p.t, p.command)
	if code := code(p.command); code != 128+9 {
		t.Errorf("exit code %d, want 137: killed after the grace", code)
	}
	if left := statesLeft(t); len(left) > 0 {
		t.Errorf("left in the state folder: %q", left)
	}
}
