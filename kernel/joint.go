// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Clone starts the container side in a new process (clone(2)).
type Clone struct {
	// Flags are CLONE_NEW* flags. Shared memory (CLONE_VM) is never used.
	Flags uintptr
	// Cgroup, if set, holds the descriptor of the cgroup v2 folder in which the process is born.
	Cgroup Slot
}

// namespaceFlag is a CLONE_NEW flag with the words for it.
type namespaceFlag struct {
	flag  uintptr
	name  string // CLONE_NEWNS
	words string // "mount"
	shell string // unshare(1)'s option
}

// namespaceFlags lists the flags in the order in which they are printed.
func namespaceFlags() []namespaceFlag {
	return []namespaceFlag{
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER", "user", "--user"},
		{unix.CLONE_NEWNS, "CLONE_NEWNS", "mount", "--mount"},
		{unix.CLONE_NEWPID, "CLONE_NEWPID", "PID", "--pid"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET", "network", "--net"},
		{unix.CLONE_NEWIPC, "CLONE_NEWIPC", "IPC", "--ipc"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS", "UTS", "--uts"},
		{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP", "cgroup", "--cgroup"},
		{unix.CLONE_NEWTIME, "CLONE_NEWTIME", "time", "--time"},
	}
}

// NamespaceNames returns the words for CLONE_NEW* flags: "mount, PID, network".
func NamespaceNames(flags uintptr) string {
	var names []string
	for _, f := range namespaceFlags() {
		if flags&f.flag != 0 {
			names = append(names, f.words)
		}
	}
	return strings.Join(names, ", ")
}

// UnshareOptions returns the options of unshare(1) for CLONE_NEW* flags. Left to itself unshare(1) makes
// all mounts of a new mount namespace private; the system call does not.
func UnshareOptions(flags uintptr) []string {
	var options []string
	for _, f := range namespaceFlags() {
		if flags&f.flag != 0 {
			options = append(options, f.shell)
		}
	}
	if flags&unix.CLONE_NEWNS != 0 {
		options = append(options, "--propagation", "unchanged")
	}
	return options
}

// String names the new namespaces.
func (c Clone) String() string {
	words := "clone a process"
	if names := NamespaceNames(c.Flags); names != "" {
		words += " into new namespaces: " + names
	}
	if c.Cgroup != "" {
		words += fmt.Sprintf(", born in the cgroup $%s", c.Cgroup)
	}
	return words
}

// Shell is unshare(1), which runs the container side as its child.
func (c Clone) Shell() string {
	return strings.Join(append([]string{"unshare"}, append(UnshareOptions(c.Flags), "--fork")...), " ")
}

// Assemble adds nothing: Do starts the process.
func (c Clone) Assemble(*Assembler) {}

// Do forks the process that walks the container's table.
func (c Clone) Do(h *Host) error { return h.clone(c) }

// Wait is a waiting point of the container side: it says that it has come here and goes on when the
// host releases it.
type Wait struct{ Point string }

// String names the point.
func (w Wait) String() string { return "wait until the host has done: " + w.Point }

// Shell reads a line from the host's pipe.
func (w Wait) Shell() string { return "" }

// Assemble adds the meeting.
func (w Wait) Assemble(a *Assembler) { a.add(opMeet, 0) }

// Await is the host's side of a [Wait]: it waits until the container side has come to the point.
type Await struct{ Point string }

// String names the point.
func (w Await) String() string { return "wait for the container at: " + w.Point }

// Shell is empty: a script waits in its own way.
func (w Await) Shell() string { return "" }

// Assemble adds nothing: Do waits.
func (w Await) Assemble(*Assembler) {}

// Do reads the container side's messages up to the point.
func (w Await) Do(h *Host) error { return h.await(w.Point) }

// Release lets the container side go on from a [Wait].
type Release struct{ Point string }

// String names the point.
func (r Release) String() string { return "let the container go on: " + r.Point }

// Shell is empty: a script waits in its own way.
func (r Release) Shell() string { return "" }

// Assemble adds nothing: Do releases.
func (r Release) Assemble(*Assembler) {}

// Do sends the byte the container side waits for.
func (r Release) Do(h *Host) error { return h.release() }
