// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// foregroundJob is the job that runs now, nil without a terminal.
func (s *Shell) foregroundJob() *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job
}

// interrupt ends the statement that runs; code is what $? becomes.
func (s *Shell) interrupt(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = code
	if s.abandon == nil {
		s.early = true
		return
	}
	s.abandon()
}

// waitForeground waits until a process of a job has ended, or, with a terminal, has been stopped, and gives its exit code.
func (s *Shell) waitForeground(j *job, p *process) int {
	if s.tty == nil {
		<-p.done
		return p.code()
	}
	select {
	case <-p.stopped:
		j.stop()
		s.interrupt(128 + int(unix.SIGTSTP))
		return 128 + int(unix.SIGTSTP)
	case <-p.done:
	}
	if p.status.Signaled() {
		s.announce(p.status)
	}
	return p.code()
}

// announce tells the user that a signal ended the command. After Ctrl-C the rest of the line is not run.
func (s *Shell) announce(status unix.WaitStatus) {
	switch status.Signal() {
	case unix.SIGINT:
		fmt.Fprintln(s.std.Err)
		s.interrupt(130)
	case unix.SIGPIPE:
	default:
		fmt.Fprintln(s.std.Err, status.Signal())
	}
}

// foregroundBuiltin is fg: it gives the terminal to a job, lets it go on, and waits for it.
func (s *Shell) foregroundBuiltin(_ context.Context, hc interp.HandlerContext, args []string) error {
	j, err := s.jobs.find(operand(args))
	if err != nil {
		return s.complain(hc, args, err)
	}
	fmt.Fprintln(hc.Stdout, j.text)
	s.tty.give(j.group)
	s.drainStops(j)
	j.resume()
	for _, p := range j.procs {
		code := s.waitForeground(j, p)
		if code == 128+int(unix.SIGTSTP) && !p.ended() {
			s.tty.reclaim()
			return exitError(code) // it is in the table still
		}
	}
	s.tty.reclaim()
	s.jobs.remove(j)
	return exitError(j.code())
}

// drainStops forgets the stops that were seen already.
func (s *Shell) drainStops(j *job) {
	for _, p := range j.procs {
		select {
		case <-p.stopped:
		default:
		}
	}
}

// backgroundBuiltin is bg: it lets a stopped job go on in the background.
func (s *Shell) backgroundBuiltin(_ context.Context, hc interp.HandlerContext, args []string) error {
	j, err := s.jobs.find(operand(args))
	if err != nil {
		return s.complain(hc, args, err)
	}
	s.drainStops(j)
	j.resume()
	fmt.Fprintf(hc.Stdout, "[%d] %s &\n", j.number, j.text)
	return nil
}

// waitBuiltin is wait: for all jobs, or for those named by PID or %number, whose last exit code it gives. A trapped
// signal ends it with 128+n, as POSIX says (2.11).
func (s *Shell) waitBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	if len(args) == 1 {
		for _, j := range s.jobs.all() {
			for _, p := range j.procs {
				if code, ok := s.waitOne(ctx, p); !ok {
					return exitError(code)
				}
			}
			s.jobs.remove(j)
		}
		return nil
	}
	code := 0
	for _, name := range args[1:] {
		j, p := s.named(name)
		if p == nil {
			fmt.Fprintf(hc.Stderr, "sh: wait: %s: not a child of this shell\n", name)
			code = 127
			continue
		}
		var ok bool
		if code, ok = s.waitOne(ctx, p); !ok {
			return exitError(code)
		}
		j.reported = true
	}
	return exitError(code)
}

// named is the job and the process that wait means: a PID, or the last process of a %job.
func (s *Shell) named(name string) (*job, *process) {
	if name != "" && name[0] == '%' {
		j, err := s.jobs.find(name)
		if err != nil || len(j.procs) == 0 {
			return nil, nil
		}
		return j, j.procs[len(j.procs)-1]
	}
	pid, err := strconv.Atoi(name)
	if err != nil {
		return nil, nil
	}
	return s.jobs.byPID(pid)
}

// waitOne waits for the end of a process; ok is false when a trapped signal or Ctrl-C came first.
func (s *Shell) waitOne(ctx context.Context, p *process) (code int, ok bool) {
	for {
		select {
		case <-p.done:
			return p.code(), true
		case <-ctx.Done():
			return 130, false
		case <-s.traps.wake:
			if sig := s.traps.first(); sig != 0 {
				return 128 + int(sig), false
			}
		}
	}
}

// jobsBuiltin is jobs.
func (s *Shell) jobsBuiltin(_ context.Context, hc interp.HandlerContext, _ []string) error {
	s.jobs.print(hc.Stdout, false)
	return nil
}

// operand is the first argument, or "".
func operand(args []string) string {
	if len(args) > 1 {
		return args[1]
	}
	return ""
}

// processState is the letter of a process's state in /proc/PID/stat, 0 if there is none to read.
//
//	4711 (sleep) T 4700 4711 …
//	(1)  (2)     (3)
//
// The name (2) may hold anything, so the state (3) is looked for after the last parenthesis.
func processState(pid int) byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(text, ')')
	if err != nil || at < 0 || at+2 >= len(text) {
		return 0
	}
	return text[at+2]
}
