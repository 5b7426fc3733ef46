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

// Keyring starts a new session keyring, or joins the container's (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
type Keyring struct{ ID string }

// String names the container.
func (k Keyring) String() string { return "start a new session keyring" }

// Shell is keyctl(1).
func (k Keyring) Shell() string { return "" }

// Assemble is keyctl(2), twice. The keyring's name is the one runc gives, which other tools look for. A later process joins it
// by this name only if its owner may search it, which is not so by default: the possessor may do everything (the first byte),
// and the owner look (1), read (2), search (8), and link to it (10). Where it can't be changed, a key server of the user's own
// namespace makes new ones.
func (k Keyring) Assemble(a *kernel.Assembler) {
	const permissions = 0x3f1b0000
	made := a.Sys(unix.SYS_KEYCTL, kernel.Int(unix.KEYCTL_JOIN_SESSION_KEYRING), kernel.Str("_ses."+k.ID))
	a.When(made.Ignore(unix.ENOSYS), func() {
		session := kernel.Int(unix.KEY_SPEC_SESSION_KEYRING)
		a.Sys(unix.SYS_KEYCTL, kernel.Int(unix.KEYCTL_SETPERM), session, kernel.Int(permissions)).Ignore(unix.EACCES)
	})
}

// OwnDescriptor gives an open pipe or socket to a user (fchown(2)).
type OwnDescriptor struct {
	FD  int
	UID uint32
	// GID is its new group; -1 leaves the one it has.
	GID int64
}

// owner is chown(1)'s word.
func (o OwnDescriptor) owner() string {
	if o.GID < 0 {
		return fmt.Sprint(o.UID)
	}
	return fmt.Sprintf("%d:%d", o.UID, o.GID)
}

// String names both.
func (o OwnDescriptor) String() string {
	return fmt.Sprintf("give descriptor %d to user %s", o.FD, o.owner())
}

// Shell is chown(1).
func (o OwnDescriptor) Shell() string {
	return fmt.Sprintf("chown %s /proc/self/fd/%d", o.owner(), o.FD)
}

// Assemble is fchown(2).
func (o OwnDescriptor) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_FCHOWN, kernel.Int(o.FD), kernel.Int(o.UID), kernel.Int(o.GID))
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
