// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// highest is the last descriptor that a redirection can name with one digit. The shell keeps its own files above it.
const highest = 9

// descriptor is what one of the descriptors 3 to 9 leads to: a file, or a writer of the interpreter, as in $( … 3>&1 ).
// Neither means closed.
type descriptor struct {
	file   *os.File
	writer io.Writer
}

// close closes the file, if there is one.
func (d *descriptor) close() {
	if d != nil && d.file != nil {
		d.file.Close()
	}
}

// overlay is one descriptor that holds for one command only, on top of the others. It travels in the context, because the
// two sides of a pipe run at the same time.
type overlay struct {
	number int
	now    *descriptor
	below  *overlay
}

// overlayKey is the key of the overlays in a context.
type overlayKey struct{}

// cell is the place that holds descriptor n now: the overlay of a command, or nil for the shell's own table.
func cell(ctx context.Context, n int) *overlay {
	o, _ := ctx.Value(overlayKey{}).(*overlay)
	for o != nil && o.number != n {
		o = o.below
	}
	return o
}

// descriptor is what n leads to, or nil.
func (s *Shell) descriptor(ctx context.Context, n int) *descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := cell(ctx, n); o != nil {
		return o.now
	}
	return s.own[n]
}

// setDescriptor changes n for good, as exec 3>FILE does.
func (s *Shell) setDescriptor(ctx context.Context, n int, d *descriptor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := cell(ctx, n); o != nil {
		o.now.close()
		o.now = d
		return
	}
	s.own[n].close()
	s.own[n] = d
}

// inheritDescriptors takes over the descriptors 3 to 9 that the shell was started with: those that the Go runtime has not
// opened for itself, which closes its own on execve.
func (s *Shell) inheritDescriptors() {
	for n := 3; n <= highest; n++ {
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		if f, err := above(n); err == nil {
			s.own[n] = &descriptor{file: f}
			unix.Close(n)
		}
	}
}

// above duplicates a descriptor to a number that no redirection can name.
func above(fd int) (*os.File, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, highest+1)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(n), "descriptor"), nil
}

// copyOf is what a redirection such as 3>&1 makes: a descriptor that leads where n leads now.
func (s *Shell) copyOf(ctx context.Context, n int) (*descriptor, error) {
	hc := interp.HandlerCtx(ctx)
	var stream any
	switch n {
	case 0:
		stream = hc.Stdin
	case 1:
		stream = hc.Stdout
	case 2:
		stream = hc.Stderr
	default:
		if d := s.descriptor(ctx, n); d != nil && d.file != nil {
			stream = d.file
		} else if d != nil {
			stream = d.writer
		}
	}
	switch stream := stream.(type) {
	case *os.File:
		if stream != nil {
			f, err := above(int(stream.Fd()))
			return &descriptor{file: f}, err
		}
	case io.Writer:
		return &descriptor{writer: stream}, nil
	}
	return nil, fmt.Errorf("sh: %d: %w", n, unix.EBADF)
}

// borrowed is a writer of the interpreter as an opened file; who opened it may close it without effect.
type borrowed struct{ io.Writer }

// Read fails: it is a writer.
func (borrowed) Read([]byte) (int, error) { return 0, unix.EBADF }

// Close does nothing.
func (borrowed) Close() error { return nil }

// openDescriptor opens the copy of a descriptor that the rewritten form of >&3 or <&3 names.
func (s *Shell) openDescriptor(ctx context.Context, name string) (io.ReadWriteCloser, error) {
	n, err := strconv.Atoi(name)
	if err != nil || n < 0 || n > highest {
		return nil, &os.PathError{Op: "sh:", Path: name, Err: unix.EBADF}
	}
	d, err := s.copyOf(ctx, n)
	switch {
	case err != nil:
		return nil, &os.PathError{Op: "sh:", Path: name, Err: unix.EBADF}
	case d.file != nil:
		return d.file, nil
	}
	return borrowed{d.writer}, nil
}

// redirect does one redirection of a descriptor from 3 on: what operator and target say, as a descriptor.
func (s *Shell) redirect(ctx context.Context, operator, target string) (*descriptor, error) {
	flags, known := map[string]int{
		"<":  os.O_RDONLY,
		">":  os.O_WRONLY | os.O_CREATE | os.O_TRUNC,
		">|": os.O_WRONLY | os.O_CREATE | os.O_TRUNC,
		">>": os.O_WRONLY | os.O_CREATE | os.O_APPEND,
		"<>": os.O_RDWR | os.O_CREATE,
	}[operator]
	if !known { // >& or <&
		if target == "-" {
			return &descriptor{}, nil
		}
		n, err := strconv.Atoi(target)
		if err != nil || n < 0 || n > highest {
			return nil, fmt.Errorf("sh: %s: %w", target, unix.EBADF)
		}
		return s.copyOf(ctx, n)
	}
	if operator == ">|" {
		target = pathClobber + target
	}
	opened, err := s.open(ctx, target, flags, 0)
	if err != nil {
		return nil, err
	}
	f, ok := opened.(*os.File)
	if !ok {
		return nil, fmt.Errorf("sh: %s: %w", target, unix.EBADF)
	}
	defer f.Close()
	moved, err := above(int(f.Fd()))
	return &descriptor{file: moved}, err
}

// withDescriptor runs a command with one descriptor changed: stave-with NUMBER OPERATOR TARGET DEPTH COMMAND.
func (s *Shell) withDescriptor(ctx context.Context, hc interp.HandlerContext, args []string) error {
	d, err := s.redirect(ctx, args[2], args[3])
	if err != nil {
		fmt.Fprintln(hc.Stderr, err)
		return interp.ExitStatus(1)
	}
	below, _ := ctx.Value(overlayKey{}).(*overlay)
	o := &overlay{number: int(args[1][0] - '0'), now: d, below: below}
	defer func() { o.now.close() }()
	depth, _ := strconv.Atoi(args[4]) // rewrite wrote it
	return hc.Builtin(context.WithValue(ctx, overlayKey{}, o), []string{"eval", rewriteTextAt(args[5], depth)})
}

// changeDescriptor changes one descriptor of the shell itself, as exec does: stave-descriptor NUMBER OPERATOR TARGET.
func (s *Shell) changeDescriptor(ctx context.Context, hc interp.HandlerContext, args []string) error {
	d, err := s.redirect(ctx, args[2], args[3])
	if err != nil {
		fmt.Fprintln(hc.Stderr, err)
		return interp.ExitStatus(1)
	}
	s.setDescriptor(ctx, int(args[1][0]-'0'), d)
	return nil
}

// scope runs the commands of a subshell on a copy of the descriptors: stave-scope DEPTH COMMANDS.
func (s *Shell) scope(ctx context.Context, hc interp.HandlerContext, args []string) error {
	top, _ := ctx.Value(overlayKey{}).(*overlay)
	for n := 3; n <= highest; n++ {
		d, err := s.copyOf(ctx, n)
		if err != nil { // closed
			d = &descriptor{}
		}
		top = &overlay{number: n, now: d, below: top}
		defer func(o *overlay) { o.now.close() }(top)
	}
	depth, _ := strconv.Atoi(args[1]) // rewrite wrote it
	return hc.Builtin(context.WithValue(ctx, overlayKey{}, top), []string{"eval", rewriteTextAt(args[2], depth)})
}
