// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Hold parts the two sides: the container side waits until somebody connects to a socket, and from
// there on answers to him. The program's host side ends before; the process that ran it may be gone by then.
// It comes after the last [Wait] of a program.
type Hold struct {
	// Listener holds a listening socket of the kind SOCK_SEQPACKET (unix(7)).
	Listener Slot
	// Keep is how many descriptors above 2 the command inherits. The others that the rest does not need are closed: the
	// process may wait for long.
	Keep int
}

// String says what it waits for.
func (Hold) String() string { return "wait for the start" }

// Shell is empty: a script starts at once.
func (Hold) Shell() string { return "" }

// Assemble gives back what memory the process has from its parent, waits, and then meets the starter.
func (h Hold) Assemble(a *Assembler) {
	a.CloseUnused(h.Keep)
	a.add(opForget, 0, Int(0), Int(0), Int(0))
	a.Sys(unix.SYS_ACCEPT4, FD(h.Listener), Int(0), Int(0), Int(unix.SOCK_CLOEXEC)).Into(slotStarter)
	a.add(opAdopt, 0, FD(slotStarter))
	a.Close(h.Listener)
	a.add(opMeet, 0)
}

// slotStarter holds the connection to the one who starts a held program.
const slotStarter Slot = "starter"

// holds tells whether the container side waits for a starter.
func (p Program) holds() bool {
	return slices.ContainsFunc(p.Container, func(c Call) bool { _, ok := c.Request.(Hold); return ok })
}

// StartError says which call of a held program failed after its start, and with what.
type StartError struct {
	// Call is the call's place and text, see [Program.Rest].
	Call string
	// Err is a unix.Errno.
	Err error
}

// Error names call and cause.
func (e *StartError) Error() string { return fmt.Sprintf("%s: %v", e.Call, e.Err) }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Rest returns what a starter needs to know of a held program: its calls from the [Hold] on, with their places.
func (p Program) Rest() []string {
	var calls []string
	for i, call := range p.Container {
		if _, ok := call.Request.(Hold); ok || calls != nil {
			calls = append(calls, Step{ContainerSide, i + 1, len(p.Container), call, 0}.String())
		}
	}
	return calls
}

// Resume lets a held program go on. The socket is connected to its listener, and rest is what [Program.Rest] said of it.
// Ready is called when the program has answered and before it goes on; an error of it ends the program. Resume returns
// when the container's command has been executed. An error of one call is a [*StartError].
func Resume(socket int, rest []string, ready func() error) error {
	const most = 1 << 20 // calls of a program: more than anybody has, and few enough to know a stranger
	executing := false
	for {
		m, err := readMessage(socket, most)
		switch {
		case errors.Is(err, errEnded) && executing:
			return nil
		case errors.Is(err, errEnded):
			return errors.New("the container's process ended before it could execute its command")
		case err != nil:
			return err
		}
		switch m.kind {
		case msgMet:
			if err := ready(); err != nil {
				return err
			}
			if err := unix.Sendto(socket, []byte{1}, unix.MSG_NOSIGNAL, nil); err != nil {
				return fmt.Errorf("let the container's process go on: %w", err)
			}
		case msgExecuting:
			executing = true
		case msgFailed:
			return &StartError{restOf(rest, int(m.index)), errno(m.value)}
		default:
			return fmt.Errorf("the container's process sent an unknown message %d", m.kind)
		}
	}
}

// restOf finds the text of a call by its index in the container side.
func restOf(rest []string, index int) string {
	prefix := fmt.Sprintf("%s call %d of ", ContainerSide, index+1)
	for _, call := range rest {
		if len(call) > len(prefix) && call[:len(prefix)] == prefix {
			return call
		}
	}
	return prefix + "its program"
}
