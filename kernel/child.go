// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"syscall"
	"unsafe"
)

// The functions of this file run in the forked child, where there is one thread, no scheduler and no
// collector. Each is go:nosplit, because growing the stack enters the runtime; go:norace, because
// the race detector's state belongs to the parent; and calls nothing but RawSyscall6 and its
// neighbours here. Indexes are masked or constant: a bounds check is a call into the runtime.

// message is what the child tells the parent over the control socket; one packet each.
type message struct {
	kind  uintptr
	index uintptr // of the call
	value uintptr // an errno, a process number, a call
}

// The kinds of message.
const (
	msgFailed    uintptr = iota + 1 // call index failed with errno value
	msgMet                          // the waiting point that call index is has been reached; wants a byte
	msgStep                         // call index comes next; wants a byte
	msgMoved                        // process value goes on with the program
	msgArrived                      // the process that goes on is here; wants a byte
	msgExecuting                    // the next thing is execve
)

// walker is the state of one walk over a table.
type walker struct {
	rows    *row
	count   uintptr
	regs    *registers
	control uintptr // descriptor of the child's end of the control socket
	peer    uintptr // descriptor of the parent's end, which the child closes: as long as one is open, no read ends
	out     message
	in      uintptr // where the parent's byte goes
}

// pointer returns an address of the program's memory, which the table keeps alive, as a pointer.
//
//go:nosplit
//go:norace
func pointer(address uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), address) }

// at returns row i.
//
//go:nosplit
//go:norace
func (w *walker) at(i uintptr) *row {
	return (*row)(unsafe.Add(unsafe.Pointer(w.rows), i*unsafe.Sizeof(row{})))
}

// run walks the table. It returns the index of the row that failed and its errno, or count and 0.
//
//go:nosplit
//go:norace
func (w *walker) run() (failed, errno uintptr) {
	for i := uintptr(0); i < w.count; i++ {
		r := w.at(i)
		skip, e := w.do(r)
		if e == 0 {
			i += skip
			continue
		}
		if contains(&r.ignored, e) {
			continue
		}
		if !contains(&r.passed, e) {
			return i, e
		}
		i += uintptr(r.next) - 1
	}
	return w.count, 0
}

// do carries out one row and returns how many of the following to skip.
//
//go:nosplit
//go:norace
func (w *walker) do(r *row) (skip, errno uintptr) {
	switch r.kind {
	case opSys:
		n, e := w.syscall(r)
		w.keep(r, n)
		return uintptr(r.skip), e
	case opFork:
		return w.fork(r)
	case opJump:
		return uintptr(r.skip), 0
	case opAnnounce:
		return 0, w.say(msgExecuting, uintptr(r.call), 0)
	case opExec:
		w.say(msgExecuting, uintptr(r.call), 0)
		return 0, execute(r)
	case opDigits:
		digits(r.args[0], w.arg(r, 1))
		return 0, 0
	case opStore:
		*(*uintptr)(pointer(r.args[0])) = w.arg(r, 1)
		return 0, 0
	case opSame, opDiffer:
		return 0, compare(r)
	case opExited:
		return 0, exited(r)
	case opMeet:
		return 0, w.ask(msgMet, uintptr(r.call))
	case opStep:
		return 0, w.ask(msgStep, uintptr(r.call))
	case opAlone:
		_, _, e := syscall.RawSyscall(syscall.SYS_CLOSE, w.control, 0, 0)
		w.control = ^uintptr(0)
		return 0, uintptr(e)
	case opAdopt:
		_, _, e := syscall.RawSyscall(syscall.SYS_CLOSE, w.control, 0, 0)
		w.control = w.arg(r, 0)
		return 0, uintptr(e)
	case opUnused:
		return 0, w.closeUnused(r)
	case opForget:
		return 0, forget(r)
	case opArrived:
		return 0, w.ask(msgArrived, uintptr(r.call))
	case opMoved:
		return 0, w.say(msgMoved, uintptr(r.call), w.arg(r, 0))
	}
	return 0, uintptr(syscall.ENOSYS)
}

// arg returns argument j of a row, from its register if it has one. j is a constant at each caller.
//
//go:nosplit
//go:norace
func (w *walker) arg(r *row, j uintptr) uintptr {
	from := *(*int8)(unsafe.Add(unsafe.Pointer(&r.from), j))
	if from < 0 {
		return *(*uintptr)(unsafe.Add(unsafe.Pointer(&r.args), j*unsafe.Sizeof(uintptr(0))))
	}
	return w.regs[from&(maxSlots-1)]
}

// keep stores a result in the row's register, if it has one.
//
//go:nosplit
//go:norace
func (w *walker) keep(r *row, value uintptr) {
	if r.into >= 0 {
		w.regs[r.into&(maxSlots-1)] = value
	}
}

// syscall makes the row's system call.
//
//go:nosplit
//go:norace
func (w *walker) syscall(r *row) (result, errno uintptr) {
	n, _, e := syscall.RawSyscall6(r.nr, w.arg(r, 0), w.arg(r, 1), w.arg(r, 2), w.arg(r, 3), w.arg(r, 4), w.arg(r, 5))
	return n, uintptr(e)
}

// fork makes a process without shared memory. The new one skips rows; the old one goes on with the
// next row and keeps the new one's number.
//
//go:nosplit
//go:norace
func (w *walker) fork(r *row) (skip, errno uintptr) {
	pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, r.nr|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		return 0, uintptr(e)
	}
	if pid == 0 {
		return uintptr(r.skip), 0
	}
	w.keep(r, pid)
	return 0, 0
}

// say sends the parent a message. A process made aside has no parent to tell, and perhaps a filter that forbids to write.
//
//go:nosplit
//go:norace
func (w *walker) say(kind, index, value uintptr) uintptr {
	if w.control == ^uintptr(0) {
		return uintptr(syscall.EBADF)
	}
	w.out.kind, w.out.index, w.out.value = kind, index, value
	_, _, e := syscall.RawSyscall(syscall.SYS_WRITE, w.control, uintptr(unsafe.Pointer(&w.out)), unsafe.Sizeof(w.out))
	return uintptr(e)
}

// ask sends the parent a message and waits for its byte. A parent that is gone ends the program:
// reading then gives no byte, which is ECANCELED here.
//
//go:nosplit
//go:norace
func (w *walker) ask(kind, index uintptr) uintptr {
	if e := w.say(kind, index, 0); e != 0 {
		return e
	}
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, w.control, uintptr(unsafe.Pointer(&w.in)), 1)
		switch {
		case e == syscall.EINTR:
		case e != 0:
			return uintptr(e)
		case n != 1:
			return uintptr(syscall.ECANCELED)
		default:
			return 0
		}
	}
}

// execute tries the row's paths in order and returns only on failure.
//
//go:nosplit
//go:norace
func execute(r *row) (errno uintptr) {
	result := uintptr(syscall.ENOENT)
	for i := uintptr(0); i < r.nr; i++ {
		path := *(*uintptr)(pointer(r.args[0] + i*unsafe.Sizeof(uintptr(0))))
		_, _, e := syscall.RawSyscall(syscall.SYS_EXECVE, path, r.args[1], r.args[2])
		switch e {
		case syscall.ENOENT, syscall.ENOTDIR:
		case syscall.EACCES:
			result = uintptr(e)
		default:
			return uintptr(e)
		}
	}
	return result
}

// compare carries out a Same or Differ row.
//
//go:nosplit
//go:norace
func compare(r *row) (errno uintptr) {
	equal := true
	for i := uintptr(0); i < r.args[2]; i++ {
		if *(*byte)(pointer(r.args[0] + i)) != *(*byte)(pointer(r.args[1] + i)) {
			equal = false
			break
		}
	}
	if equal == (r.kind == opSame) {
		return 0
	}
	return r.args[3]
}

// forget gives memory back, but not its own stack: a row's list of first addresses and those behind the last. Whoever
// reads there again finds zeroes, or what is in the file that is mapped (MADV_DONTNEED, madvise(2)).
//
//go:nosplit
//go:norace
func forget(r *row) (errno uintptr) {
	const size, around = unsafe.Sizeof(uintptr(0)), 64 << 10 // a multiple of every size of a page
	var here byte
	stack := uintptr(unsafe.Pointer(&here)) &^ (r.args[2] - 1)
	low, high := stack-around, stack+around
	for i := uintptr(0); i < r.args[1]; i++ {
		at := r.args[0] + i*2*size
		from, to := *(*uintptr)(pointer(at)), *(*uintptr)(pointer(at + size))
		if e := drop(from, min(to, low)); e != 0 {
			return e
		}
		if e := drop(max(from, high), to); e != 0 {
			return e
		}
	}
	return 0
}

// drop gives back the pages of a piece of memory, which may be empty.
//
//go:nosplit
//go:norace
func drop(from, to uintptr) (errno uintptr) {
	const dontNeed = 4
	if from >= to {
		return 0
	}
	_, _, e := syscall.RawSyscall(syscall.SYS_MADVISE, from, to-from, dontNeed)
	return uintptr(e)
}

// closeUnused closes the descriptors between those that are in registers of the row's set, from the row's first on
// (close_range(2)).
//
//go:nosplit
//go:norace
func (w *walker) closeUnused(r *row) (errno uintptr) {
	const closeRange, end = 436, 1 << 31
	for from := r.args[0]; from < end; {
		next := uintptr(end)
		if w.control >= from && w.control < next {
			next = w.control
		}
		for n := range uintptr(maxSlots) {
			set := *(*byte)(pointer(r.args[1] + n/8))
			if fd := w.regs[n&(maxSlots-1)]; set>>(n%8)&1 == 1 && fd >= from && fd < next {
				next = fd
			}
		}
		if from < next {
			if _, _, e := syscall.RawSyscall(closeRange, from, next-1, 0); e != 0 {
				return uintptr(e)
			}
		}
		from = next + 1
	}
	return 0
}

// exited carries out an Exited row.
//
//go:nosplit
//go:norace
func exited(r *row) (errno uintptr) {
	status := *(*uint32)(pointer(r.args[0]))
	if status == 0 {
		return 0
	}
	return exitBase + uintptr(status)
}

// digits writes n in decimal and a NUL at an address with room for 12 bytes; n is a descriptor.
//
//go:nosplit
//go:norace
func digits(at, n uintptr) {
	size := uintptr(1)
	for rest := n / 10; rest > 0; rest /= 10 {
		size++
	}
	*(*byte)(pointer(at + size)) = 0
	for i := size; i > 0; i-- {
		*(*byte)(pointer(at + i - 1)) = byte('0' + n%10)
		n /= 10
	}
}

// contains reports whether e is in the list, which ends at its first 0.
//
//go:nosplit
//go:norace
func contains(list *[maxIgnored]uint16, e uintptr) bool {
	for _, known := range list {
		if known != 0 && uintptr(known) == e {
			return true
		}
	}
	return false
}
