// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// WriteFile writes a value into a file that is there already: a file of /proc or /sys through which
// the kernel takes a setting. $pid in the path stands for the container's process.
type WriteFile struct {
	Path string
	Data string
}

// String shows value and file.
func (w WriteFile) String() string { return fmt.Sprintf("write %q to %s", w.Data, w.Path) }

// Shell is printf with a redirection.
func (w WriteFile) Shell() string {
	path := w.Path
	if !strings.Contains(path, "$pid") { // that is for the shell to fill in
		path = Quote(path)
	}
	return fmt.Sprintf("printf %%b %s > %s", printfQuote(w.Data), path)
}

// Assemble adds open, write and close: the kernel takes the value from a single write.
func (w WriteFile) Assemble(a *Assembler) {
	const file Slot = "file"
	a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str(w.Path), Int(unix.O_WRONLY|unix.O_CLOEXEC)).Into(file)
	a.Sys(unix.SYS_WRITE, FD(file), Bytes([]byte(w.Data)), Int(len(w.Data)))
	a.Close(file)
}

// Do writes the file in this process.
func (w WriteFile) Do(h *Host) error {
	return Store(h.Expand(w.Path), w.Data)
}

// Open opens a file as os.OpenFile does (open(2): unix.O_*, close-on-exec), but as one that is never waited for. Package os
// would ask the kernel first whether the file can be waited for: with six more system calls for each, and with all that a
// program needs to wait.
func Open(name string, flags int, perm uint32) (*os.File, error) {
	fd, err := open(name, flags, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// open is open(2) with the errors of package os, begun again when a signal interrupts it.
func open(name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, perm)
		switch err {
		case nil:
			return fd, nil
		case unix.EINTR:
		default:
			return -1, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// Store writes a value into a file that is there already, in a single write: a file of /proc or /sys.
func Store(name, value string) error {
	fd, err := open(name, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Write(fd, []byte(value))
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n < len(value):
			err = unix.EIO
		case err == nil:
			return nil
		}
		return &os.PathError{Op: "write", Path: name, Err: err}
	}
}

// ReadFile reads a file of /proc or /sys, of which the kernel does not tell the size. See [Open] for why it is not that
// of package os.
func ReadFile(name string) ([]byte, error) {
	fd, err := open(name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var first [4096]byte // on the stack: nearly all files fit, and are much smaller
	data := first[:0]
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return slices.Clone(data), nil
		default:
			data = data[:len(data)+n]
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, len(data))
		}
	}
}

// printfQuote quotes a value for printf's %b, which knows \n.
func printfQuote(s string) string {
	var out []byte
	for _, c := range []byte(s) {
		switch c {
		case '\n':
			out = append(out, `\n`...)
		case '\\':
			out = append(out, `\\`...)
		default:
			out = append(out, c)
		}
	}
	return Quote(string(out))
}
