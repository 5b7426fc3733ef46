// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// IO is the three streams a tool works on.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Func is one tool: args[0] is the name it was called by, the result is its exit code.
type Func func(std IO, args []string) int

// Errorf prints "tool: message" on standard error and gives 1, the usual exit code of a failure.
func (s IO) Errorf(tool, format string, args ...any) int {
	fmt.Fprintf(s.Err, "%s: %s\n", tool, fmt.Sprintf(format, args...))
	return 1
}

// Fail prints "tool: what: reason" for err on standard error and gives 1.
func (s IO) Fail(tool string, err error) int {
	return s.Errorf(tool, "%s", Reason(err))
}

// Reason is err without the name of the system call, which the standard library puts first: "open /x: no such file or
// directory" becomes "/x: no such file or directory".
func Reason(err error) string {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Path + ": " + path.Err.Error()
	case errors.As(err, &link):
		return link.Old + " to " + link.New + ": " + link.Err.Error()
	}
	return err.Error()
}

// Checked is a writer that remembers its first error, so that a full disk behind standard output is noticed even by a
// tool that doesn't look at what Write says.
type Checked struct {
	File *os.File
	Err  error
}

// Write writes to the file and keeps the first error.
func (c *Checked) Write(p []byte) (int, error) {
	n, err := c.File.Write(p)
	var path *fs.PathError
	if errors.As(err, &path) { // without the file's name, which means nothing to the user
		err = fmt.Errorf("write error: %w", path.Err)
	}
	if err != nil && c.Err == nil {
		c.Err = err
	}
	return n, err
}

// Inherit is the writer to give to a child process: the file itself where there is one, so that the child writes to it
// directly and not through a pipe of ours.
func Inherit(w io.Writer) io.Writer {
	if c, ok := w.(*Checked); ok {
		return c.File
	}
	return w
}

// Each calls fn with a reader for every named file; "-" and no name at all mean standard input. Errors are printed in
// the tool's name, the other files are still read; the result is 0, or 1 after an error.
func (s IO) Each(tool string, names []string, fn func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := 0
	for _, name := range names {
		if err := s.open(name, fn); err != nil {
			code = s.Fail(tool, err)
		}
	}
	return code
}

// open calls fn with a reader for one name.
func (s IO) open(name string, fn func(string, io.Reader) error) error {
	if name == "-" {
		return fn(name, s.In)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(name, f)
}
