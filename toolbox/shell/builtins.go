// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"stave/toolbox/system"
	"stave/toolbox/tool"
)

// prefix marks a builtin of ours in the word that the interpreter is told to execute.
const prefix = "stave-builtin-"

// builtinFunc is one builtin of ours; its result is nil, an interp.ExitStatus, or what a builtin of the interpreter gave.
type builtinFunc func(ctx context.Context, hc interp.HandlerContext, args []string) error

// builtin is the builtin that a word stands for.
func (s *Shell) builtin(word string) (builtinFunc, bool) {
	switch word {
	case wordExec:
		return s.execBuiltin, true
	case wordBackground:
		return s.startBackground, true
	case wordSubshell:
		return s.startSubshell, true
	case wordWith:
		return s.withDescriptor, true
	case wordScope:
		return s.scope, true
	case wordDescriptor:
		return s.changeDescriptor, true
	case wordTrapDone:
		return func(context.Context, interp.HandlerContext, []string) error { s.trapDone = true; return nil }, true
	}
	name, ok := strings.CutPrefix(word, prefix)
	if !ok {
		return nil, false
	}
	run, ok := map[string]builtinFunc{
		".":       s.sourceBuiltin,
		"bg":      s.backgroundBuiltin,
		"eval":    s.evalBuiltin,
		"fg":      s.foregroundBuiltin,
		"help":    s.helpBuiltin,
		"history": s.historyBuiltin,
		"jobs":    s.jobsBuiltin,
		"kill":    s.killBuiltin,
		"oldpwd":  s.noOldFolder,
		"pending": s.pendingBuiltin,
		"set":     s.setBuiltin,
		"source":  s.sourceBuiltin,
		"trap":    s.trapBuiltin,
		"ulimit":  s.ulimitBuiltin,
		"umask":   s.umaskBuiltin,
		"wait":    s.waitBuiltin,
	}[name]
	return run, ok
}

// call sees every simple command before the interpreter runs it, and turns the ones that are ours into a word that
// comes to execute. A function of the same name goes first. When a trapped signal waits, its action goes before the command.
func (s *Shell) call(ctx context.Context, args []string) ([]string, error) {
	if s.traps.first() != 0 && !strings.HasPrefix(args[0], "stave-") {
		return append([]string{prefix + "pending"}, args...), nil
	}
	if len(args) > 1 && args[0] == "command" && !strings.HasPrefix(args[1], "-") {
		if _, ours := s.builtin(prefix + args[1]); ours {
			args = args[1:]
		}
	}
	if s.runner.Funcs[args[0]] != nil {
		return args, nil
	}
	if len(args) == 2 && args[0] == "cd" && args[1] == "-" && interp.HandlerCtx(ctx).Env.Get("OLDPWD").String() == "" {
		return []string{prefix + "oldpwd"}, nil
	}
	if _, ours := s.builtin(prefix + args[0]); ours {
		return append([]string{prefix + args[0]}, args[1:]...), nil
	}
	return args, nil
}

// complain prints an error of a builtin and gives exit code 1.
func (s *Shell) complain(hc interp.HandlerContext, args []string, err error) error {
	fmt.Fprintf(hc.Stderr, "sh: %s: %v\n", strings.TrimPrefix(args[0], prefix), err)
	return interp.ExitStatus(1)
}

// pendingBuiltin runs a command that had to wait for a trap.
func (s *Shell) pendingBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	s.trapDone = true
	if err := s.runTraps(ctx, hc, nil); !s.trapDone {
		return err
	}
	return hc.Builtin(ctx, []string{"eval", quotedList(args[1:])})
}

// evalBuiltin is eval, for a text that has to be rewritten like any other.
func (s *Shell) evalBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	return hc.Builtin(ctx, []string{"eval", rewriteText(strings.Join(args[1:], " "))})
}

// sourceBuiltin is source, or the dot: the interpreter opens the file, and open gives it the rewritten text.
func (s *Shell) sourceBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	if len(args) < 2 {
		return s.complain(hc, args, fmt.Errorf("which file?"))
	}
	path := args[1]
	if !strings.Contains(path, "/") {
		for _, folder := range append(filepath.SplitList(hc.Env.Get("PATH").String()), ".") {
			if file := filepath.Join(folder, path); readable(hc.Dir, file) {
				path = file
				break
			}
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(hc.Dir, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return s.complain(hc, args, fmt.Errorf("%s", tool.Reason(err)))
	}
	s.mu.Lock()
	s.files[path] = rewriteText(string(text))
	s.mu.Unlock()
	return hc.Builtin(ctx, append([]string{"source", path}, args[2:]...))
}

// readable reports whether a path is a regular file.
func readable(dir, path string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// textFile is a text as an opened file.
type textFile struct{ *bytes.Reader }

// Write fails: a sourced text is only read.
func (textFile) Write([]byte) (int, error) { return 0, os.ErrPermission }

// Close does nothing.
func (textFile) Close() error { return nil }

// open opens a file for a redirection, with the mode that POSIX says (0666, less the umask), or the text that source left.
func (s *Shell) open(ctx context.Context, path string, flag int, _ os.FileMode) (io.ReadWriteCloser, error) {
	if name, ok := strings.CutPrefix(path, pathDescriptor); ok {
		return s.openDescriptor(ctx, name)
	}
	path, clobber := strings.CutPrefix(path, pathClobber)
	if !filepath.IsAbs(path) {
		path = filepath.Join(interp.HandlerCtx(ctx).Dir, path)
	}
	s.mu.Lock()
	text, ok := s.files[path]
	delete(s.files, path)
	s.mu.Unlock()
	if ok {
		return textFile{bytes.NewReader([]byte(text))}, nil
	}
	if info, err := os.Stat(path); s.noClobber && !clobber && flag&os.O_TRUNC != 0 && (err != nil || info.Mode().IsRegular()) {
		flag |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flag, 0o666)
	if err != nil {
		// The interpreter prints Op, path and reason.
		return nil, &os.PathError{Op: "sh:", Path: path, Err: err.(*os.PathError).Err}
	}
	return f, nil
}

// execBuiltin is exec: the descriptors are put in place, and execve(2) replaces this process. It comes back on failure only,
// which ends a shell that is not interactive.
func (s *Shell) execBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	if args = args[1:]; len(args) == 0 {
		return nil
	}
	path, err := lookPath(hc.Dir, hc.Env.Get("PATH").String(), args[0])
	if err == nil {
		err = s.replace(ctx, path, args)
	}
	code := s.notExecuted(hc.Stderr, args[0], err)
	if s.tty != nil {
		return exitError(code)
	}
	return hc.Builtin(ctx, []string{"exit", strconv.Itoa(code)})
}

// replace executes a program in this process.
func (s *Shell) replace(ctx context.Context, path string, args []string) error {
	hc := interp.HandlerCtx(ctx)
	files := &childFiles{}
	list, err := files.descriptors(hc, s.wideFiles(ctx), nil)
	if err != nil {
		return err
	}
	for to, from := range list {
		// One that is in place already is one that this process was given, so it is inherited as it is.
		if int(from) != to && from != closed {
			if err := unix.Dup3(int(from), to, 0); err != nil {
				return err
			}
		}
	}
	if err := os.Chdir(hc.Dir); err != nil {
		return err
	}
	return syscall.Exec(path, args, exported(hc.Env))
}

// killBuiltin is kill, which knows jobs (%1) beside what the tool knows.
func (s *Shell) killBuiltin(_ context.Context, hc interp.HandlerContext, args []string) error {
	list := []string{"kill"}
	var woken []*job
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "%") {
			j, err := s.jobs.find(arg)
			if err != nil {
				return s.complain(hc, args, err)
			}
			woken = append(woken, j)
			if arg = strconv.Itoa(-j.group); j.group == 0 && len(j.procs) > 0 {
				arg = strconv.Itoa(j.procs[0].pid)
			}
			if list[len(list)-1] == "kill" {
				list = append(list, "-TERM")
			}
		}
		list = append(list, arg)
	}
	code := system.Kill(tool.IO{In: hc.Stdin, Out: hc.Stdout, Err: hc.Stderr}, list)
	for _, j := range woken { // a stopped job gets its signal when it goes on
		if j.halted() && code == 0 && !strings.Contains(strings.Join(list, " "), "STOP") {
			j.signal(unix.SIGCONT)
		}
	}
	if slices.Contains(list, strconv.Itoa(os.Getpid())) {
		s.traps.settle()
	}
	return exitError(code)
}
