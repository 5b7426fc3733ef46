// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"stave/container"
)

// stepper stops before each call of a program and asks.
type stepper struct {
	in        io.Reader
	out       io.Writer
	interrupt chan os.Signal // Ctrl-C at a question ends the program
	free      bool           // go on without asking
}

// newStepper asks on out and reads answers from in.
func newStepper(in io.Reader, out io.Writer) *stepper {
	s := &stepper{in: in, out: out, interrupt: make(chan os.Signal, 1)}
	signal.Notify(s.interrupt, os.Interrupt)
	return s
}

// errQuit ends a program that is being stepped through.
var errQuit = errors.New("ended at a step")

// stop shows the call that comes next and waits for a line: Enter goes on to the next call, c goes on
// without stopping again, q or Ctrl-C ends it.
func (s *stepper) stop(step container.Step) error {
	if s.free {
		return nil
	}
	fmt.Fprintf(s.out, "\n%s\n   why:   %s\n", step, step.Call.Why)
	if shell := step.Call.Shell(); shell != "" {
		fmt.Fprintf(s.out, "   shell: %s\n", shell)
	}
	if step.Pid != 0 {
		fmt.Fprintf(s.out, "   look:  /proc/%d (its namespaces: ls -l /proc/%d/ns; its mounts: cat /proc/%d/mountinfo)\n", step.Pid, step.Pid, step.Pid)
	}
	for {
		fmt.Fprint(s.out, "[Enter: do it, c: run on, q: quit] ")
		answer, err := s.answer()
		if err != nil {
			return err
		}
		switch answer {
		case "":
			return nil
		case "c":
			s.free = true
			signal.Stop(s.interrupt)
			return nil
		case "q":
			return errQuit
		}
	}
}

// answer waits for a line, or for Ctrl-C.
func (s *stepper) answer() (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() { // after Ctrl-C it is left waiting; the program ends then
		line, err := s.line()
		read <- result{line, err}
	}()
	select {
	case r := <-read:
		if r.err != nil {
			return "", fmt.Errorf("%w: nobody answers (%w)", errQuit, r.err)
		}
		return strings.TrimSpace(r.line), nil
	case <-s.interrupt:
		return "", errQuit
	}
}

// line reads up to the next line feed, and not a byte more: what follows is the container's input.
func (s *stepper) line() (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(s.in, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}
