// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"stave/internal/witness"
)

// openTerminal opens a new terminal of a size and returns both ends (pts(4)).
func openTerminal(t *testing.T, rows, columns uint16) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	size := &unix.Winsize{Row: rows, Col: columns}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal starts a command as the leader of a session on a terminal. The terminal is open to all, as it
// would be for the user who is logged in on it.
func onTerminal(t *testing.T, c *exec.Cmd, slave *os.File) {
	t.Helper()
	if err := slave.Chmod(0o666); err != nil {
		t.Fatal(err)
	}
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
}

// runOnTerminal runs a command on a terminal to its end, at most half a minute.
func runOnTerminal(t *testing.T, c *exec.Cmd, rows, columns uint16) result {
	t.Helper()
	master, slave := openTerminal(t, rows, columns)
	onTerminal(t, c, slave)
	alarm := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	var out bytes.Buffer
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(&out, master) // ends with EIO once nobody has the slave end open
	}()
	c.Wait()
	if !alarm.Stop() {
		t.Errorf("%s had to be killed after half a minute", c)
	}
	slave.Close()
	<-copied
	return result{out: out.String(), code: code(c)}
}

// TestTerminalIsGivenBack runs a container on a terminal, types into it, changes its size, and looks
// at the caller's terminal before, during and after.
func TestTerminalIsGivenBack(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	const script = `trap 'stty size' WINCH; stty size; while :; do read -t 1 line && echo "got $line" && test "$line" = end && exit 7; done`
	dir := newBundle(t, script, func(s *specs.Spec) { s.Process.Terminal = true })
	master, slave := openTerminal(t, 20, 70)
	before, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	c := oci(dir)
	onTerminal(t, c, slave)
	alarm := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	defer alarm.Stop()
	screen := newScreen(master)
	screen.until(t, "20 70")
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 44}); err != nil {
		t.Fatal(err)
	}
	screen.until(t, "33 44") // at the latest when read gives up: a signal just before it waits does not wake it
	io.WriteString(master, "hello\r")
	screen.until(t, "got hello")
	io.WriteString(master, "end\r")
	c.Wait()
	if got := code(c); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
	after, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Errorf("the terminal was %v before and is %v afterwards", before, after)
	}
}
