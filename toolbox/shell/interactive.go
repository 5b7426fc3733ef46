// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
	"stave/toolbox/tool"
)

// errInterrupt is Ctrl-C at the prompt.
var errInterrupt = errors.New("interrupt")

// interactive reads lines from the terminal and runs them until Ctrl-D or exit.
func (s *Shell) interactive() int {
	defer s.tty.release()
	// An interactive shell survives these; Ctrl-C ends what it runs.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGTSTP)
	if !tool.IgnoredSignal(unix.SIGHUP) {
		signal.Notify(signals, unix.SIGHUP)
	}
	go func() {
		for sig := range signals {
			switch sig {
			case unix.SIGINT:
				s.interrupt(130)
			case unix.SIGHUP:
				s.hangUp()
			}
		}
	}()
	for {
		s.jobs.print(s.std.Err, true)
		s.mu.Lock()
		s.early = false
		s.mu.Unlock()
		stmts, err := s.readCommand()
		switch {
		case err != nil && !errors.Is(err, errInterrupt) && !term.IsTerminal(s.tty.fd):
			s.hangUp() // the terminal has gone
			return 128 + int(unix.SIGHUP)
		case errors.Is(err, errInterrupt):
			s.setStatus(130)
			continue
		case err == io.EOF:
			fmt.Fprintln(s.std.Err, "exit")
			return s.end()
		case err != nil:
			s.std.Fail("sh", err)
			s.setStatus(2)
			continue
		}
		if slices.ContainsFunc(stmts, s.runJob) {
			return s.status
		}
	}
}

// hangUp ends the shell after its terminal has gone, or SIGHUP has come: its jobs get the signal too, and stopped ones go on
// to see it. As PID 1, whom the kernel's default action does not end (pid_namespaces(7)), it leaves by itself. An action
// that trap has set goes first, while there is a terminal.
func (s *Shell) hangUp() {
	if s.traps.trapped(unix.SIGHUP) && term.IsTerminal(s.tty.fd) {
		return
	}
	list := s.jobs.all()
	if j := s.foregroundJob(); j != nil {
		list = append(list, j)
	}
	for _, j := range list {
		j.signal(unix.SIGHUP)
		j.signal(unix.SIGCONT)
	}
	if s.tty.cooked != nil {
		_ = term.Restore(s.tty.fd, s.tty.cooked) // the terminal may have gone
	}
	tool.DefaultSignal(unix.SIGHUP)
	_ = unix.Kill(os.Getpid(), unix.SIGHUP) // to oneself it is always allowed
	os.Exit(128 + int(unix.SIGHUP))
}

// runJob runs one statement as the foreground job and reports whether the shell is to exit.
func (s *Shell) runJob(stmt *syntax.Stmt) bool {
	j := &job{text: source(stmt), foreground: true}
	s.mu.Lock()
	s.job = j
	s.mu.Unlock()
	exit := s.run(stmt)
	if s.status == 0 && len(j.procs) > 0 && j.ended() {
		s.tty.keepModes() // stty may have set them
	}
	s.tty.reclaim()
	if !j.ended() {
		s.jobs.add(j)
		fmt.Fprintf(s.std.Err, "\n[%d] Stopped  %s\n", j.number, j.text)
	}
	return exit
}

// readCommand reads lines until they are a whole command.
func (s *Shell) readCommand() ([]*syntax.Stmt, error) {
	text, prompt := "", s.prompt()
	for {
		line, err := s.readLine(prompt)
		if err != nil {
			return nil, err
		}
		text += line + "\n"
		file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
		if err == nil {
			s.tty.history.Add(strings.TrimSpace(text))
			return file.Stmts, nil
		}
		if !unfinished(err) {
			s.tty.history.Add(strings.TrimSpace(text))
			return nil, err
		}
		prompt = "> "
	}
}

// unfinished reports whether more lines could make the text right.
func unfinished(err error) bool {
	return syntax.IsIncomplete(err) || strings.Contains(err.Error(), "unclosed here-document")
}

// prompt is the working directory and # for root, $ for anyone else.
func (s *Shell) prompt() string {
	dir := s.runner.Dir
	if os.Geteuid() == 0 {
		return dir + " # "
	}
	return dir + " $ "
}

// readLine reads one line with editing, in raw mode: the terminal then gives every key at once and makes no signals.
func (s *Shell) readLine(prompt string) (string, error) {
	modes, err := term.MakeRaw(s.tty.fd)
	if err != nil {
		return "", err
	}
	defer term.Restore(s.tty.fd, modes)
	t := term.NewTerminal(keys{s.tty.fd}, prompt)
	t.History = recall{s.tty.history}
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return s.complete(t, line, pos)
	}
	if width, height, err := term.GetSize(s.tty.fd); err == nil && width > 0 {
		_ = t.SetSize(width, height)
	}
	line, err := t.ReadLine()
	if errors.Is(err, errInterrupt) {
		_, _ = keys{s.tty.fd}.Write([]byte("^C\r\n"))
	}
	return line, err
}

// keys is the terminal as bytes. It reads one at a time, so that what is typed ahead stays for the command that runs next.
type keys struct{ fd int }

// Read reads one byte; Ctrl-C is an error.
func (k keys) Read(p []byte) (int, error) {
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(k.fd, p[:1]) })
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	case p[0] == 3:
		return 0, errInterrupt
	}
	return n, nil
}

// Write writes to the terminal.
func (k keys) Write(p []byte) (int, error) {
	return ignoringEINTR(func() (int, error) { return unix.Write(k.fd, p) })
}

// ignoringEINTR repeats a call that a signal broke off.
func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// history is the lines that were typed, newest first, without repetitions.
type history struct{ lines []string }

// Add adds a line.
func (h *history) Add(line string) {
	if line != "" && (len(h.lines) == 0 || h.lines[0] != line) {
		h.lines = append([]string{line}, h.lines...)
	}
}

// Len is the number of lines.
func (h *history) Len() int { return len(h.lines) }

// At is the line that is i lines back.
func (h *history) At(i int) string { return h.lines[i] }

// recall is the history for the arrow keys; it adds no lines, because readCommand adds whole commands.
type recall struct{ *history }

// Add does nothing.
func (recall) Add(string) {}

// historyBuiltin is history: the lines, oldest first.
func (s *Shell) historyBuiltin(_ context.Context, hc interp.HandlerContext, _ []string) error {
	if s.tty == nil {
		return nil
	}
	lines := s.tty.history.lines
	for i := len(lines) - 1; i >= 0; i-- {
		fmt.Fprintf(hc.Stdout, "%5d  %s\n", len(lines)-i, lines[i])
	}
	return nil
}
