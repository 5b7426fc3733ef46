// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// Assembler collects the raw system calls of a list of requests, in order. Nothing is decided when
// they run: the only branches are skipping forward, forking, and passing over an error.
type Assembler struct {
	ops     []*Op
	call    int // the index of the call that is being assembled
	reserve uintptr

	// Operations and arguments are cut from blocks: a thousand small allocations each would cost as
	// much as all the mounts of a container.
	opBlock  []Op
	argBlock []Arg
}

// blockSize is the length of a new block: short for a single call, long for a whole container.
func (a *Assembler) blockSize() int { return min(4+2*len(a.ops), 256) }

// add appends one row-to-be.
func (a *Assembler) add(kind opKind, nr uintptr, args ...Arg) *Op {
	if len(a.opBlock) == cap(a.opBlock) {
		a.opBlock = make([]Op, 0, a.blockSize())
	}
	if cap(a.argBlock)-len(a.argBlock) < len(args) {
		a.argBlock = make([]Arg, 0, max(2*a.blockSize(), len(args)))
	}
	start := len(a.argBlock)
	a.argBlock = append(a.argBlock, args...)
	a.opBlock = append(a.opBlock, Op{kind: kind, nr: nr, args: a.argBlock[start:len(a.argBlock):len(a.argBlock)], call: uint32(a.call)})
	op := &a.opBlock[len(a.opBlock)-1]
	a.ops = append(a.ops, op)
	return op
}

// Sys appends the system call nr with at most six arguments.
func (a *Assembler) Sys(nr uintptr, args ...Arg) *Op { return a.add(opSys, nr, args...) }

// Reserve returns the address of n zeroed bytes that several system calls may share: one writes,
// the next reads.
func (a *Assembler) Reserve(n int) Arg {
	at := a.reserve
	a.reserve += (uintptr(n) + 7) &^ 7
	return Arg{kind: argMemory, n: at}
}

// Close appends close(2) of the descriptor in s, and forgets it: by then the number may be somebody
// else's.
func (a *Assembler) Close(s Slot) { a.Sys(unix.SYS_CLOSE, FD(s)).Into(s) }

// Unless runs o, and what body assembles only when o was passed over with one of its ignored errors:
// "open it; if it is not there, make it".
func (a *Assembler) Unless(o *Op, body func()) {
	start := len(a.ops)
	body()
	o.skip = len(a.ops) - start
}

// When runs o, and what body assembles only when o succeeded: "open it; if it is there, protect it".
// Unlike [Call].Ignore it passes over the errors of o alone, not over those of what follows.
func (a *Assembler) When(o *Op, body func()) { a.Either(o, body, func() {}) }

// Either runs o, then what yes assembles when o succeeded, and what no assembles when it was passed
// over with one of its ignored errors.
func (a *Assembler) Either(o *Op, yes, no func()) {
	o.skip = 1
	over := a.add(opJump, 0)
	start := len(a.ops)
	yes()
	end := a.add(opJump, 0)
	over.skip = len(a.ops) - start
	start = len(a.ops)
	no()
	end.skip = len(a.ops) - start
}

// Same appends a check: the program goes on only when the n bytes at x and y are equal, and fails
// with errno otherwise.
func (a *Assembler) Same(x, y Arg, n int, errno unix.Errno) *Op {
	return a.add(opSame, 0, x, y, Int(n), Int(int(errno)))
}

// Differ appends a check: the program goes on only when the n bytes at x and y are not equal.
func (a *Assembler) Differ(x, y Arg, n int, errno unix.Errno) *Op {
	return a.add(opDiffer, 0, x, y, Int(n), Int(int(errno)))
}

// MoveOn appends a clone(2) after which the new process runs the rest of the program and the old
// one exits. The new process is a child of the program's parent (CLONE_PARENT), which is told its
// number. Joining a PID namespace and leaving for a new time namespace need it: both change only
// the processes made afterwards.
func (a *Assembler) MoveOn(flags uintptr) {
	a.add(opFork, flags|unix.CLONE_PARENT).Into(slotPid).skip = 2
	a.add(opMoved, 0, FD(slotPid))
	a.Sys(unix.SYS_EXIT_GROUP, Int(0))
	a.add(opArrived, 0)
}

// Aside appends a fork whose new process runs what body assembles and must end there, by execve or
// exit; the program itself goes on behind it, with the new process's number in pid. What body does
// that fails ends the new process with code 127.
func (a *Assembler) Aside(pid Slot, body func()) {
	a.add(opFork, 0).Into(pid).skip = 1
	over := a.add(opJump, 0)
	start := len(a.ops)
	a.add(opAlone, 0)
	body()
	a.Sys(unix.SYS_EXIT_GROUP, Int(127))
	over.skip = len(a.ops) - start
}

// Exec appends execve(2) of the first of paths that can be executed, and fails as execvp(3) does:
// EACCES when one was there and could not be executed, ENOENT when none was there.
func (a *Assembler) Exec(paths, argv, env []string) {
	a.add(opExec, uintptr(len(paths)), Strs(paths), Strs(argv), Strs(env))
}

// CloseAll marks every descriptor above 2 close-on-exec, except those from 3 to 2+keep.
func (a *Assembler) CloseAll(keep int) {
	a.Sys(unix.SYS_CLOSE_RANGE, Int(3+keep), Int(uint32(1<<31-1)), Int(unix.CLOSE_RANGE_CLOEXEC))
}

// CloseUnused closes every descriptor from 3+keep on, except those in slots that the rest of the program uses, and the
// program's own.
func (a *Assembler) CloseUnused(keep int) {
	a.add(opUnused, 0, Int(3+keep), a.Reserve(maxSlots/8))
}

// slotPid holds the number of the process that goes on after [Assembler.MoveOn].
const slotPid Slot = "pid"
