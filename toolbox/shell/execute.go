// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// execute runs one command for the interpreter: one of our builtins, or a process.
func (s *Shell) execute(ctx context.Context, args []string) error {
	hc := interp.HandlerCtx(ctx)
	if run, ok := s.builtin(args[0]); ok {
		return s.runTraps(ctx, hc, run(ctx, hc, args))
	}
	j := s.foregroundJob()
	child, wait, code := s.start(ctx, args, &startOptions{job: j})
	if child != nil {
		code = s.waitForeground(j, child)
		wait()
	}
	return s.runTraps(ctx, hc, exitError(code))
}

// exitError is an exit code as the error the interpreter wants.
func exitError(code int) error {
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(code))
}

// startOptions is what a process gets beside its arguments.
type startOptions struct {
	path    string   // the program's file, when it isn't the one that args[0] names
	job     *job     // with a terminal: the job, and so the process group, it belongs to
	state   *os.File // descriptor 10
	env     []string // further environment
	noInput bool     // standard input is /dev/null
}

// start starts args as a process. The function it gives waits until all output that goes through this program has
// arrived. On failure there is no process, a message has been printed, and code is 126 or 127.
func (s *Shell) start(ctx context.Context, args []string, opt *startOptions) (child *process, wait func(), code int) {
	hc := interp.HandlerCtx(ctx)
	if opt.noInput {
		hc.Stdin = nil
	}
	path, err := opt.path, error(nil)
	if path == "" {
		path, err = lookPath(hc.Dir, hc.Env.Get("PATH").String(), args[0])
	}
	if err != nil {
		return nil, nil, s.notExecuted(hc.Stderr, args[0], err)
	}
	files := &childFiles{}
	defer files.closeOurs()
	attr := &syscall.ProcAttr{Dir: hc.Dir, Env: append(exported(hc.Env), opt.env...)}
	attr.Files, err = files.descriptors(hc, s.wideFiles(ctx), opt.state)
	if err != nil {
		return nil, nil, s.notExecuted(hc.Stderr, args[0], err)
	}
	child, err = s.fork(path, args, attr, opt.job)
	if errors.Is(err, unix.ENOEXEC) { // a script without #!
		child, err = s.fork(s.self, append([]string{"sh", path}, args[1:]...), attr, opt.job)
	}
	if err != nil {
		return nil, nil, s.notExecuted(hc.Stderr, args[0], err)
	}
	return child, files.copies.Wait, 0
}

// fork starts a process as part of its job, if it has one.
func (s *Shell) fork(path string, args []string, attr *syscall.ProcAttr, j *job) (*process, error) {
	if j == nil {
		return s.procs.start(path, args, attr)
	}
	return j.start(s, path, args, attr)
}

// notExecuted prints why a command could not be run and gives its code: 127 not found, 126 found but not executable.
func (s *Shell) notExecuted(stderr io.Writer, name string, err error) int {
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint := ""
		if s.tty != nil {
			hint = " (help lists what is there)"
		}
		fmt.Fprintf(stderr, "sh: %s: not found%s\n", name, hint)
		return 127
	case errors.Is(err, unix.ENOEXEC):
		fmt.Fprintf(stderr, "sh: %s: not a program for this machine\n", name)
		return 126
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	fmt.Fprintf(stderr, "sh: %s: %v\n", name, err)
	return 126
}

// lookPath finds the file of a command as POSIX says (Shell Command Language, 2.9.1.4): a name with a slash is a path;
// any other is looked for in the folders of PATH. A file that may not be executed is passed over, and reported if
// nothing else is found.
func lookPath(dir, path, name string) (string, error) {
	if strings.Contains(name, "/") {
		return executable(dir, name)
	}
	result := error(os.ErrNotExist)
	for folder := range strings.SplitSeq(path, ":") {
		if folder == "" {
			folder = "."
		}
		file, err := executable(dir, filepath.Join(folder, name))
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			result = err
		}
	}
	return "", result
}

// executable is the absolute path of a file if it is one that may be executed.
func executable(dir, file string) (string, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return "", &os.PathError{Op: "exec", Path: file, Err: unix.EISDIR}
	}
	if err := unix.Access(file, unix.X_OK); err != nil {
		return "", &os.PathError{Op: "exec", Path: file, Err: err}
	}
	return file, nil
}

// exported is the environment for a child.
func exported(env expand.Environ) []string {
	var list []string
	env.Each(func(name string, v expand.Variable) bool {
		if v.Exported && v.Kind == expand.String {
			list = append(list, name+"="+v.String())
		}
		return true
	})
	return list
}

// childFiles is the descriptors of a child, and the goroutines that carry its output where a writer is not a file, as
// in a command substitution.
type childFiles struct {
	ours   []*os.File
	copies sync.WaitGroup
}

// descriptors is the list for syscall.ProcAttr: standard input, output and error, then those from 3
// to 9, and as number 10 the state of a child shell.
func (c *childFiles) descriptors(hc interp.HandlerContext, wide []*descriptor, state *os.File) ([]uintptr, error) {
	in, err := c.input(hc.Stdin)
	if err != nil {
		return nil, err
	}
	out, err := c.output(hc.Stdout)
	if err != nil {
		return nil, err
	}
	errs := out
	if hc.Stderr != hc.Stdout {
		if errs, err = c.output(hc.Stderr); err != nil {
			return nil, err
		}
	}
	list := []uintptr{in.Fd(), out.Fd(), errs.Fd()}
	for _, d := range wide {
		switch {
		case d == nil || d.file == nil && d.writer == nil:
			list = append(list, closed)
			continue
		case d.file != nil:
			list = append(list, d.file.Fd())
			continue
		}
		f, err := c.output(d.writer)
		if err != nil {
			return nil, err
		}
		list = append(list, f.Fd())
	}
	if state != nil {
		list = append(list, state.Fd())
	}
	return list, nil
}

// closed is the entry of syscall.ProcAttr for a descriptor that the child does not get.
const closed = ^uintptr(0)

// wideFiles is what the descriptors 3 to 9 lead to.
func (s *Shell) wideFiles(ctx context.Context) []*descriptor {
	var list []*descriptor
	for n := 3; n <= highest; n++ {
		list = append(list, s.descriptor(ctx, n))
	}
	return list
}

// input is the file behind a reader; none is /dev/null.
func (c *childFiles) input(r io.Reader) (*os.File, error) {
	if f, ok := r.(*os.File); ok && f != nil {
		return f, nil
	}
	return c.null()
}

// output is the file behind a writer, or a pipe whose other end is copied to it.
func (c *childFiles) output(w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	if w == io.Discard {
		return c.null()
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.ours = append(c.ours, pipe)
	c.copies.Go(func() {
		_, _ = io.Copy(w, r)
		r.Close()
	})
	return pipe, nil
}

// null opens /dev/null, or, in a root without one, an empty pipe whose other end is closed.
func (c *childFiles) null() (*os.File, error) {
	if f, err := os.OpenFile("/dev/null", os.O_RDWR, 0); err == nil {
		c.ours = append(c.ours, f)
		return f, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.Close()
	c.ours = append(c.ours, r)
	return r, nil
}

// closeOurs closes the ends that belong to the child.
func (c *childFiles) closeOurs() {
	for _, f := range c.ours {
		f.Close()
	}
}
