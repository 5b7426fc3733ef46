// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
	"stave/toolbox/tool"
)

// DefaultPath is the PATH of a shell that was given none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Shell is one running shell.
type Shell struct {
	std    tool.IO
	runner *interp.Runner
	procs  *processes
	jobs   jobs
	traps  *traps
	parser *syntax.Parser
	tty    *terminal // nil when the shell is not interactive
	self   string    // the file of this program
	pid    int       // what $$ is

	mu        sync.Mutex
	job       *job                // the job that runs in the foreground
	abandon   context.CancelFunc  // ends the statement that runs
	lastBG    int                 // what $! is
	own       map[int]*descriptor // the descriptors 3 to 9
	noClobber bool                // set -C
	files     map[string]string   // text that the next open of a path gives, see source

	trapDone bool // the body of the last trap came to its end without exit
	early    bool // Ctrl-C came between the end of the line and the start of the statement
	cut      int  // exit code of a statement that Ctrl-C or Ctrl-Z ended
	status   int  // exit code of the last statement
}

// Main is sh: sh [-elx…] [-c COMMAND [NAME]] [FILE] [ARG…]. Its result is the exit code of the last command.
func Main(std tool.IO, args []string) int {
	inv, err := parseArguments(args)
	if err != nil {
		std.Fail("sh", err)
		return 2
	}
	s, err := newShell(std, inv)
	if err != nil {
		std.Fail("sh", err)
		return 2
	}
	if inv.login {
		s.profile()
	}
	switch {
	case inv.hasCommand:
		return s.script(strings.NewReader(inv.command))
	case inv.file != "":
		f, err := os.Open(inv.file)
		if err != nil {
			std.Fail("sh", err)
			return 127
		}
		defer f.Close()
		return s.script(f)
	case s.tty != nil:
		return s.interactive()
	}
	return s.standardInput()
}

// newShell makes the shell that an invocation asks for.
func newShell(std tool.IO, inv *invocation) (*Shell, error) {
	s := &Shell{
		std:    std,
		procs:  newProcesses(),
		traps:  newTraps(),
		parser: syntax.NewParser(),
		files:  map[string]string{},
		own:    map[int]*descriptor{},
		self:   ownFile(),
		pid:    os.Getpid(),

		noClobber: inv.noClobber,
	}
	in, _ := std.In.(*os.File)
	if inv.readsInput() && in != nil && term.IsTerminal(int(in.Fd())) {
		s.tty = openTerminal(in)
	}
	// The interpreter must get files where it can, so that children write to them directly.
	runner, err := interp.New(
		interp.StdIO(std.In, tool.Inherit(std.Out), tool.Inherit(std.Err)),
		interp.Env(s.environment()),
		interp.Params(inv.params()...),
		interp.Interactive(true),
		interp.CallHandler(s.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.execute }),
		interp.OpenHandler(s.open),
	)
	if err != nil {
		return nil, err
	}
	s.runner = runner
	s.inheritDescriptors()
	return s, s.inheritState()
}

// script runs a whole text, statement by statement as they are read, and gives the exit code.
func (s *Shell) script(r io.Reader) int {
	for stmt, err := range s.parser.StmtsSeq(r) {
		if err != nil {
			s.std.Fail("sh", err)
			s.status = 2
			break
		}
		if s.run(stmt) {
			return s.status
		}
	}
	return s.end()
}

// standardInput runs a script that comes on standard input, one line at a time, so that its commands can read the rest.
func (s *Shell) standardInput() int {
	for stmts, err := range s.parser.InteractiveSeq(byteReader{s.std.In}) {
		if err != nil {
			s.std.Fail("sh", err)
			s.status = 2
			break
		}
		if s.parser.Incomplete() {
			continue
		}
		if slices.ContainsFunc(stmts, s.run) {
			return s.status
		}
	}
	return s.end()
}

// byteReader reads one byte at a time: a shell may not take more of its input than it runs.
type byteReader struct{ r io.Reader }

// Read reads at most one byte.
func (b byteReader) Read(p []byte) (int, error) {
	if len(p) > 1 {
		p = p[:1]
	}
	return b.r.Read(p)
}

// run runs one statement, sets the status, and reports whether the shell is to exit.
func (s *Shell) run(stmt *syntax.Stmt) bool {
	rewrite(stmt)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	s.abandon = cancel
	s.cut = 130
	if s.early {
		cancel()
	}
	s.mu.Unlock()
	err := s.runner.Run(ctx, stmt)
	s.mu.Lock()
	s.abandon, s.early = nil, false
	s.mu.Unlock()
	exited := s.runner.Exited() && ctx.Err() == nil
	s.status = statusOf(err)
	if ctx.Err() != nil {
		s.setStatus(s.cut)
	}
	_ = os.Chdir(s.runner.Dir) // for /proc/$$/cwd; children get the folder by themselves
	return exited
}

// end leaves the shell at the end of its input: the EXIT trap runs, the code is that of the last command.
func (s *Shell) end() int {
	if s.status != 0 {
		s.setStatus(s.status)
	}
	if stmt := s.parseOne("exit"); stmt != nil {
		s.run(stmt)
	}
	return s.status
}

// setStatus makes $? of the interpreter n, which only a command can.
func (s *Shell) setStatus(n int) {
	if stmt := s.parseOne(fmt.Sprintf("(exit %d)", n)); stmt != nil {
		_ = s.runner.Run(context.Background(), stmt)
	}
	s.status = n
}

// parseOne parses a text of one statement that we wrote ourselves.
func (s *Shell) parseOne(text string) *syntax.Stmt {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil || len(file.Stmts) != 1 {
		return nil
	}
	return file.Stmts[0]
}

// statusOf is the exit code in an error of the interpreter.
func statusOf(err error) int {
	var code interp.ExitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	return 1
}

// profile runs /etc/profile, which a login shell reads first.
func (s *Shell) profile() {
	f, err := os.Open("/etc/profile")
	if err != nil {
		return
	}
	defer f.Close()
	for stmt, err := range s.parser.StmtsSeq(f) {
		if err != nil {
			s.std.Fail("sh", err)
			return
		}
		s.run(stmt)
	}
}
