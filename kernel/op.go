// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// opKind says what a row of the table does.
type opKind uint8

const (
	opSys      opKind = iota // a system call
	opFork                   // clone(2): the new process skips rows, the old one goes on
	opJump                   // skip rows, always
	opExec                   // execve(2) over a list of paths
	opAnnounce               // tell the parent that nothing but execve can fail now
	opDigits                 // write a register as decimal digits into memory
	opStore                  // write a register into memory as a machine word
	opSame                   // go on only when two pieces of memory are equal
	opDiffer                 // go on only when two pieces of memory differ
	opExited                 // go on only when a wait status in memory is that of a good end
	opMeet                   // tell the parent the waiting point and wait for its byte
	opStep                   // tell the parent which call comes next and wait for its byte
	opMoved                  // tell the parent the number of the process that goes on
	opArrived                // in that process: wait until the parent knows its number
	opAdopt                  // speak over another descriptor from here
	opUnused                 // close the descriptors that no later row uses
	opForget                 // give back the parent's memory that was copied with the process
	opAlone                  // in a process made aside: let go of the socket to the parent
)

// maxIgnored is how many errors one row can pass over.
const maxIgnored = 4

// Op is one raw system call while it is being assembled.
type Op struct {
	kind    opKind
	ignores uint8 // how many errors Ignore was given, also those that found no room
	call    uint32
	ignored [maxIgnored]uint16
	nr      uintptr
	args    []Arg
	into    Slot
	skip    int
}

// Into keeps the result in s.
func (o *Op) Into(s Slot) *Op {
	o.into = s
	return o
}

// Ignore makes the program go on with its next system call after one of these errors. At most four.
func (o *Op) Ignore(errnos ...unix.Errno) *Op {
	for _, e := range errnos {
		if o.ignores < maxIgnored {
			o.ignored[o.ignores] = uint16(e)
		}
		o.ignores++
	}
	return o
}
