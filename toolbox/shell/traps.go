// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
	"stave/toolbox/system"
	"stave/toolbox/tool"
)

// traps is what trap has set for signals, and which of them have come and wait for the running command to end.
type traps struct {
	mu      sync.Mutex
	bodies  map[unix.Signal]string
	shown   map[string]string // what trap alone prints, by the name of the condition
	pending []unix.Signal
	signals chan os.Signal
	wake    chan struct{} // gets a value when a signal has come
}

// newTraps makes the empty table.
func newTraps() *traps {
	return &traps{bodies: map[unix.Signal]string{}, shown: map[string]string{}, wake: make(chan struct{}, 1)}
}

// set makes body the action for a signal: "-" is the default, "" is to ignore it, which children inherit.
func (t *traps) set(sig unix.Signal, body string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.signals == nil {
		t.signals = make(chan os.Signal, 16)
		go t.collect(t.signals)
	}
	delete(t.bodies, sig)
	switch body {
	case "-":
		signal.Reset(sig)
		tool.DefaultSignal(sig)
	case "":
		signal.Ignore(sig)
	default:
		t.bodies[sig] = body
		signal.Notify(t.signals, sig)
	}
}

// collect notes the signals that come, for as long as the shell lives.
func (t *traps) collect(signals <-chan os.Signal) {
	for sig := range signals {
		t.mu.Lock()
		t.pending = append(t.pending, sig.(unix.Signal))
		t.mu.Unlock()
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// settle waits a moment for a signal that the shell has sent to itself: POSIX has it delivered before kill returns, the Go
// runtime hands it over a little later. An untrapped one never comes, so the wait has an end.
func (t *traps) settle() {
	t.mu.Lock()
	trapped := len(t.bodies) > 0
	t.mu.Unlock()
	if !trapped {
		return
	}
	select {
	case <-t.wake:
	case <-time.After(50 * time.Millisecond):
	}
}

// trapped reports whether an action is set for a signal.
func (t *traps) trapped(sig unix.Signal) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.bodies[sig]
	return ok
}

// note keeps an action for the list that trap alone prints.
func (t *traps) note(name, body string) {
	if body == "-" {
		delete(t.shown, name)
		return
	}
	t.shown[name] = body
}

// first is the signal that has waited longest, 0 for none.
func (t *traps) first() unix.Signal {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return 0
	}
	return t.pending[0]
}

// next takes the body for the signal that has waited longest.
func (t *traps) next() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.pending) > 0 {
		sig := t.pending[0]
		t.pending = t.pending[1:]
		if body, ok := t.bodies[sig]; ok {
			return body, true
		}
	}
	return "", false
}

// runTraps runs the actions of the signals that came while a command ran, whose result was err. It gives err back, so
// that $? is the command's, unless an action left the shell.
func (s *Shell) runTraps(ctx context.Context, hc interp.HandlerContext, err error) error {
	for {
		body, ok := s.traps.next()
		if !ok {
			return err
		}
		// The word after the body is reached unless the body says exit or return.
		s.trapDone = false
		result := hc.Builtin(ctx, []string{"eval", rewriteText(body) + "\n" + wordTrapDone})
		if !s.trapDone {
			return result
		}
	}
}

// trapBuiltin is trap [ACTION] SIGNAL…. EXIT and ERR are the interpreter's own.
func (s *Shell) trapBuiltin(ctx context.Context, hc interp.HandlerContext, args []string) error {
	args = args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		for _, name := range slices.Sorted(maps.Keys(s.traps.shown)) {
			fmt.Fprintf(hc.Stdout, "trap -- %s %s\n", quotedList([]string{s.traps.shown[name]}), name)
		}
		return nil
	}
	body, names := "-", args
	if len(args) > 1 {
		body, names = args[0], args[1:]
	}
	for _, name := range names {
		if err := s.trapOne(ctx, hc, body, name); err != nil {
			return err
		}
	}
	return nil
}

// trapOne sets the action for one condition.
func (s *Shell) trapOne(ctx context.Context, hc interp.HandlerContext, body, name string) error {
	switch name {
	case "0", "EXIT", "exit":
		name = "EXIT"
	case "ERR":
	default:
		sig, err := system.ParseSignal(name)
		if err != nil {
			return s.complain(hc, []string{"trap"}, err)
		}
		s.traps.set(sig, body)
		s.traps.note(system.SignalName(sig), body)
		return nil
	}
	s.traps.note(name, body)
	if body == "-" {
		body = ""
	}
	if body == "" {
		return hc.Builtin(ctx, []string{"trap", name})
	}
	return hc.Builtin(ctx, []string{"trap", rewriteText(body), name})
}
