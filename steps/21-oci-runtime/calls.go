// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// This file has the kernel calls that only a runtime makes.

// startSlot holds the socket on which the container's process waits for its start.
const startSlot kernel.Slot = "start"

// session puts the process into a session of its own (setsid(2)).
type session struct{}

// String says what it does.
func (session) String() string { return "start a new session" }

// Shell is setsid(1), which starts a command in one.
func (session) Shell() string { return "" }

// Assemble is setsid(2).
func (session) Assemble(a *kernel.Assembler) { a.Sys(unix.SYS_SETSID) }

// listen makes the socket on which the container's process waits, before there is one to inherit it.
type listen struct{ container *container }

// String names the socket.
func (l listen) String() string { return "listen on " + l.container.file(startName) }

// Shell is empty: a shell can't hand a socket on.
func (listen) Shell() string { return "" }

// Assemble adds nothing: Do listens.
func (listen) Assemble(*kernel.Assembler) {}

// Do makes the socket. Its file goes away with the container's folder.
func (l listen) Do(h *kernel.Host) error {
	fd, err := l.container.socket(unix.Bind)
	if err != nil {
		return err
	}
	h.Set(startSlot, fd)
	return unix.Listen(fd, 1)
}

// note writes the number of the container's process into a file, and with birth set when that began.
type note struct {
	path  string
	birth bool
	done  func() // what is to be done then
}

// String names the file.
func (n note) String() string { return "note the container's process in " + n.path }

// Shell is echo.
func (n note) Shell() string { return "echo $pid > " + kernel.Quote(n.path) }

// Assemble adds nothing: Do writes.
func (note) Assemble(*kernel.Assembler) {}

// Do writes the file.
func (n note) Do(h *kernel.Host) error {
	text := fmt.Sprint(h.Pid())
	if n.birth {
		text += " " + birth(h.Pid())
	}
	if err := os.WriteFile(n.path, []byte(text), 0o644); err != nil {
		return err
	}
	n.done()
	return nil
}

// Undo removes the file of a container that could not be made.
func (n note) Undo(*kernel.Host) error { return os.Remove(n.path) }

// meet lists what the host does at the end, while the container's process waits for it.
func (c *container) meet(pidFile string, done func()) []kernel.Call {
	const point = "the end of the set-up"
	calls := []kernel.Call{{Request: kernel.Await{Point: point}, Why: "what can fail has not failed"}}
	if pidFile != "" {
		calls = append(calls, kernel.Call{Request: note{pidFile, false, func() {}}, Why: "who asked for a container wants to watch its process"})
	}
	return append(calls,
		kernel.Call{Request: note{c.file(pidName), true, done}, Why: "this is how the next command finds it: it is created now"},
		kernel.Call{Request: kernel.Release{Point: point}, Why: "from here on nobody of the host waits for it"})
}
