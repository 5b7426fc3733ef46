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
	f, err := os.OpenFile(h.Expand(w.Path), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(w.Data); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// ReadFile reads a file of /proc or /sys, of which the kernel does not tell the size. Package os would
// first ask whether the file can be waited for, and set up all that waiting needs.
func ReadFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	data := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, data[len(data):cap(data)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return data, nil
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
