// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Call is one request to the kernel, with the reason for it.
type Call struct {
	// Request is what is asked.
	Request

	// Why says in one line what the container would lack without this call.
	Why string

	// Ignore lists errors after which the program goes on with its next call: the thing asked for
	// is not there on this kernel or in this image and nothing is lost. It is empty for most calls.
	Ignore []unix.Errno
}

// Request is what a call asks of the kernel. A request is a plain value that go-cmp can compare;
// the mechanism packages define the ones they need.
type Request interface {
	// String says what is asked: "mount proc on /proc".
	String() string

	// Shell returns the command of util-linux, coreutils or iproute2 that asks the same, and ""
	// where there is none. $root stands for the folder that becomes the container's root, $pid for
	// the container's process as the host sees it.
	Shell() string

	// Assemble appends the raw system calls that do it.
	Assemble(a *Assembler)
}

// Doer is a request of the host side that needs more than raw system calls: Do runs in the Go
// process and is preferred there over Assemble.
type Doer interface {
	// Do carries the request out. The error names the object, not the call.
	Do(h *Host) error
}

// Undoer is a request of the host side whose effect outlives the program. Undo takes it back when a
// later call fails; it is called at most once and in reverse order.
type Undoer interface {
	// Undo takes back what the request did.
	Undo(h *Host) error
}

// Side tells the two lists of a program apart.
type Side string

// The two sides of a program.
const (
	HostSide      Side = "host"
	ContainerSide Side = "container"
)

// CallError says which call of a program failed, and with what.
type CallError struct {
	// Side is the list in which the call stands.
	Side Side
	// Index counts from 1, Count is the length of the side's list.
	Index, Count int
	// Call is the call that failed.
	Call Call
	// Err is a unix.Errno for a raw system call; a [Doer] may give any error.
	Err error
}

// Error names side, index, call, object and cause:
// "container call 17 of 43: mount mqueue on /dev/mqueue: operation not permitted".
func (e *CallError) Error() string {
	return fmt.Sprintf("%s call %d of %d: %s: %v", e.Side, e.Index, e.Count, e.Call, e.Err)
}

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }
