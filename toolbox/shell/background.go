// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
)

// stateVariable tells a child shell the descriptor it finds its parent's variables and functions on.
const stateVariable = "STAVE_SH_STATE"

// startBackground is COMMAND &, when COMMAND is a simple command. A program becomes a child at once; a function or a
// builtin needs a child shell.
func (s *Shell) startBackground(ctx context.Context, hc interp.HandlerContext, args []string) error {
	args = args[1:]
	if len(args) > 1 && args[0] == "exec" {
		args = args[1:]
	}
	if s.runner.Funcs[args[0]] != nil || interp.IsBuiltin(args[0]) {
		return s.startSubshell(ctx, hc, []string{wordSubshell, quotedList(args)})
	}
	return s.launch(ctx, strings.Join(args, " "), args, &startOptions{})
}

// startSubshell is LIST &: a child shell runs the text. A real shell would have forked; a Go program can't go on after
// fork alone, so the child is a new shell that gets the variables and functions through a file in memory.
func (s *Shell) startSubshell(ctx context.Context, hc interp.HandlerContext, args []string) error {
	state, err := memoryFile(s.state(hc))
	if err != nil {
		return s.complain(hc, []string{"&"}, err)
	}
	defer state.Close()
	argv := append([]string{"sh", "-c", args[1], "sh"}, s.runner.Params...)
	return s.launch(ctx, args[1], argv, &startOptions{
		path:  s.self,
		state: state,
		env:   []string{fmt.Sprintf("%s=10:%d", stateVariable, s.pid)},
	})
}

// launch starts a process in the background and makes it $! and a job.
func (s *Shell) launch(ctx context.Context, text string, argv []string, opt *startOptions) error {
	if s.tty == nil && interp.HandlerCtx(ctx).Stdin == s.std.In {
		opt.noInput = true // POSIX 2.9.3.1: /dev/null, for the shell goes on to read its own input
	}
	opt.job = &job{text: text}
	child, _, code := s.start(ctx, argv, opt)
	if child == nil {
		return exitError(code)
	}
	s.mu.Lock()
	s.lastBG = child.pid
	s.mu.Unlock()
	s.jobs.add(opt.job)
	if s.tty != nil {
		fmt.Fprintf(s.std.Err, "[%d] %d\n", opt.job.number, child.pid)
	}
	return nil
}

// ownFile is the file of this shell: what the kernel says it is, or, in a root file system without /proc as the lessons
// have them, what it was called by.
func ownFile() string {
	const link = "/proc/self/exe"
	if _, err := os.Stat(link); err == nil {
		return link
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	path := os.Getenv("PATH")
	if path == "" {
		path = DefaultPath
	}
	file, err := lookPath(dir, path, strings.TrimPrefix(os.Args[0], "-"))
	if err != nil {
		return link
	}
	return file
}

// state is the variables that are not exported, and the functions, as a shell text.
func (s *Shell) state(hc interp.HandlerContext) string {
	var text strings.Builder
	hc.Env.Each(func(name string, v expand.Variable) bool {
		if v.Exported || v.ReadOnly || !v.IsSet() || name == "PWD" {
			return true
		}
		switch v.Kind {
		case expand.String:
			fmt.Fprintf(&text, "%s=%s\n", name, quotedList([]string{v.Str}))
		case expand.Indexed:
			fmt.Fprintf(&text, "%s=(%s)\n", name, quotedList(v.List))
		}
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(s.runner.Funcs)) {
		fmt.Fprintf(&text, "%s() %s\n", name, source(s.runner.Funcs[name]))
	}
	return text.String()
}

// inheritState takes over what a parent shell left in its file, and the parent's PID as $$.
func (s *Shell) inheritState() error {
	fd, pid, ok := strings.Cut(os.Getenv(stateVariable), ":")
	if !ok {
		return nil // no parent of this kind
	}
	n, err := strconv.Atoi(fd)
	if err != nil {
		return err
	}
	if s.pid, err = strconv.Atoi(pid); err != nil {
		return err
	}
	f := os.NewFile(uintptr(n), "state")
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for stmt, err := range s.parser.StmtsSeq(f) {
		if err != nil {
			return err
		}
		rewrite(stmt)
		if err := s.runner.Run(context.Background(), stmt); err != nil {
			return err
		}
	}
	return nil
}

// memoryFile is a file without a name that holds text; see memfd_create(2).
func memoryFile(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("sh-state", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "sh-state")
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// environ is the environment of the shell: what it was given, $$, and $!, which changes.
type environ struct {
	expand.Environ
	shell *Shell
}

// environment is the shell's environment, with a PATH if there was none.
func (s *Shell) environment() expand.Environ {
	var list []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, stateVariable+"=") {
			list = append(list, entry)
		}
	}
	if os.Getenv("PATH") == "" {
		list = append(list, "PATH="+DefaultPath)
	}
	return environ{expand.ListEnviron(list...), s}
}

// Get is the value of a variable.
func (e environ) Get(name string) expand.Variable {
	n := 0
	switch name {
	case variablePID:
		n = e.shell.pid
	case variableBG:
		e.shell.mu.Lock()
		n = e.shell.lastBG
		e.shell.mu.Unlock()
	default:
		return e.Environ.Get(name)
	}
	if n == 0 {
		return expand.Variable{}
	}
	return expand.Variable{Set: true, Kind: expand.String, Str: strconv.Itoa(n)}
}
