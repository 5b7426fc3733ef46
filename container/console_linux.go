// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal connects the caller's terminal with the container's. A nil terminal stands for a container
// whose standard streams are the caller's own.
type terminal struct {
	ours, theirs int // the socket over which the container's process sends its master end
	master       *os.File
	saved        *term.State    // of the caller's terminal, to be put back
	copied       sync.WaitGroup // the output is written
}

// newTerminal prepares for a container that wants a terminal, and gives it the size of the caller's.
// It returns nil for one that does not.
func newTerminal(spec *specs.Spec) (*terminal, error) {
	if !spec.Process.Terminal {
		return nil, nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console socket: %w", err)
	}
	if columns, rows, err := term.GetSize(0); err == nil && spec.Process.ConsoleSize == nil {
		spec.Process.ConsoleSize = &specs.Box{Height: uint(rows), Width: uint(columns)}
	}
	return &terminal{ours: pair[0], theirs: pair[1]}, nil
}

// start receives the master end and copies both ways. The caller's terminal becomes raw: what is
// typed, Ctrl-C among it, is for the container's terminal to interpret.
func (t *terminal) start() error {
	if t == nil {
		return nil
	}
	master, err := receiveDescriptor(t.ours)
	if err != nil {
		return fmt.Errorf("receive the container's terminal: %w", err)
	}
	if err := unix.SetNonblock(master, true); err != nil { // so that a read ends when the file is closed
		return err
	}
	t.master = os.NewFile(uintptr(master), "container terminal")
	if term.IsTerminal(0) {
		if t.saved, err = term.MakeRaw(0); err != nil {
			return fmt.Errorf("make the terminal raw: %w", err)
		}
	}
	t.copied.Go(func() {
		io.Copy(os.Stdout, t.master) // ends with EIO once nobody has the slave end open
	})
	go t.input()
	return nil
}

// input copies what the caller types. It may outlive the container: nothing interrupts a read of
// standard input. At the end of a file or pipe the container gets the terminal's end-of-file character.
func (t *terminal) input() {
	const endOfFile = 4 // Ctrl-D
	if _, err := io.Copy(t.master, os.Stdin); err == nil && !term.IsTerminal(0) {
		t.master.Write([]byte{endOfFile})
	}
}

// receiveDescriptor receives one descriptor over a unix socket.
func receiveDescriptor(socket int) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(errors.New("no descriptor came"), err)
	}
	return fds[0], nil
}

// resize gives the container's terminal the size of the caller's.
func (t *terminal) resize() {
	if t == nil || t.master == nil {
		return
	}
	size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return // the caller has no terminal
	}
	if raw, err := t.master.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
	}
}

// hangUp closes the master end: the container's terminal is gone (pty(7)).
func (t *terminal) hangUp() {
	if t.master != nil {
		t.master.Close()
	}
}

// finish waits until the container's output is written.
func (t *terminal) finish() error {
	if t == nil {
		return nil
	}
	t.copied.Wait()
	return nil
}

// close gives the caller's terminal back as it was.
func (t *terminal) close() {
	if t == nil {
		return
	}
	if t.saved != nil {
		term.Restore(0, t.saved)
	}
	if t.master != nil {
		t.master.Close()
	}
	unix.Close(t.ours)
	unix.Close(t.theirs)
}
