// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the terminal of an interactive shell.
type terminal struct {
	fd      int
	group   int         // the shell's process group; 0: the terminal is not our controlling one, so no job control
	before  int         // the group that had the terminal before
	cooked  *term.State // the modes to go back to after every command
	history *history
}

// openTerminal prepares a terminal for job control: the shell gets a process group of its own, in the foreground.
func openTerminal(in *os.File) *terminal {
	t := &terminal{fd: int(in.Fd()), history: &history{}}
	t.cooked, _ = term.GetState(t.fd)
	// A process in the background that calls tcsetpgrp is stopped by SIGTTOU unless it ignores it. Children inherit
	// that, which changes nothing but "stty tostop".
	signal.Ignore(unix.SIGTTOU)
	before, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return t
	}
	t.before = before
	_ = unix.Setpgid(0, 0) // fails for the leader of a session, which leads its group anyhow
	if err := unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, unix.Getpgrp()); err == nil {
		t.group = unix.Getpgrp()
	}
	return t
}

// controls reports whether the shell has job control. It may be asked of no terminal at all.
func (t *terminal) controls() bool { return t != nil && t.group != 0 }

// give makes a process group the one that reads from the terminal and gets its signals.
func (t *terminal) give(group int) {
	if t.controls() && group != 0 {
		_ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, group)
	}
}

// reclaim takes the terminal back and sets its modes as they were.
func (t *terminal) reclaim() {
	if t == nil {
		return
	}
	t.give(t.group)
	if t.cooked != nil {
		_ = term.Restore(t.fd, t.cooked)
	}
}

// keepModes makes the modes that the terminal has now the ones to go back to.
func (t *terminal) keepModes() {
	if modes, err := term.GetState(t.fd); err == nil {
		t.cooked = modes
	}
}

// release gives the terminal to who had it before the shell.
func (t *terminal) release() { t.give(t.before) }
