// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Session starts a new session: the process leaves the terminal and the process group of its starter
// (setsid(2)).
type Session struct{}

// String says what it does.
func (Session) String() string { return "start a new session" }

// Shell is empty: setsid(1) is part of the script's last command.
func (Session) Shell() string { return "" }

// Assemble is setsid(2).
func (Session) Assemble(a *kernel.Assembler) { a.Sys(unix.SYS_SETSID) }

// Keyring starts a new session keyring (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
type Keyring struct{ ID string }

// String names the container.
func (k Keyring) String() string { return "start a new session keyring" }

// Shell is keyctl(1).
func (k Keyring) Shell() string { return "" }

// Assemble is keyctl(2). The keyring's name is the one runc gives, which other tools look for.
func (k Keyring) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_KEYCTL, kernel.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), kernel.Str("_ses."+k.ID))
}

// OwnDescriptor gives an open pipe or socket to a user (fchown(2)).
type OwnDescriptor struct {
	FD  int
	UID uint32
}

// String names both.
func (o OwnDescriptor) String() string {
	return fmt.Sprintf("give descriptor %d to user %d", o.FD, o.UID)
}

// Shell is chown(1).
func (o OwnDescriptor) Shell() string { return fmt.Sprintf("chown %d /proc/self/fd/%d", o.UID, o.FD) }

// Assemble is fchown(2), which leaves the group.
func (o OwnDescriptor) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_FCHOWN, kernel.Int(o.FD), kernel.Int(o.UID), kernel.Int(-1))
}

// Personality sets the execution domain (personality(2)): LINUX32 makes uname(2) answer i686.
type Personality struct {
	Domain string
	Value  uint32
}

// String names the domain.
func (p Personality) String() string { return "set the personality " + p.Domain }

// Shell is setarch(8).
func (p Personality) Shell() string { return "" }

// Assemble is personality(2).
func (p Personality) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_PERSONALITY, kernel.Int(p.Value))
}
