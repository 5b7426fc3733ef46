// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"runtime"
	"syscall"
	"unsafe"
)

// The Go runtime keeps the three functions below reachable for programs that fork without os/exec
// (gVisor is named as a user in runtime/proc.go).

// beforeFork blocks all signals and makes any growth of the stack a crash instead of a hang.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

// afterFork undoes beforeFork in the parent.
//
//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

// afterForkInChild sets the handlers that Go installed back to their defaults and restores the
// signal mask.
//
//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// cloneArgs is struct clone_args of clone3(2), up to its cgroup field (CLONE_ARGS_SIZE_VER2).
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
}

// cloneIntoCgroup is CLONE_INTO_CGROUP, which does not fit into the 32 bits of clone(2).
const cloneIntoCgroup = 1 << 33

// spawn forks a process with flags that walks the table and never returns here. cgroup is the
// descriptor of a cgroup v2 folder the process is born in, or -1.
func (w *walker) spawn(flags uintptr, cgroup int) (pid int, errno syscall.Errno) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.ForkLock.Lock() // no other goroutine is between opening a descriptor and marking it close-on-exec
	defer syscall.ForkLock.Unlock()
	args := cloneArgs{flags: uint64(flags), exitSignal: uint64(syscall.SIGCHLD)}
	if cgroup >= 0 {
		args.flags |= cloneIntoCgroup
		args.cgroup = uint64(cgroup)
	}
	return w.forkAndWalk(&args)
}

// ClonesIntoCgroups tells whether this kernel can make a process that is born in a cgroup of version 2 (clone3(2) with
// CLONE_INTO_CGROUP, Linux 5.7). It is asked for one in a descriptor that nobody has: a kernel that can complains about
// the descriptor, one that can't about the flag or the size of the arguments, and neither makes a process. It complains after
// copying all that a process has: so this one would share everything.
func ClonesIntoCgroups() bool {
	const share = syscall.CLONE_VM | syscall.CLONE_FS | syscall.CLONE_FILES | syscall.CLONE_SIGHAND
	args := cloneArgs{flags: cloneIntoCgroup | share, exitSignal: uint64(syscall.SIGCHLD), cgroup: 1<<31 - 1}
	_, _, errno := syscall.RawSyscall(sysClone3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	return errno == syscall.EBADF
}

// forkAndWalk is the fork itself. clone(2) serves where clone3(2) is not needed: the seccomp
// profiles of some container engines answer clone3 with ENOSYS.
//
//go:noinline
//go:norace
func (w *walker) forkAndWalk(args *cloneArgs) (pid int, errno syscall.Errno) {
	var n uintptr
	beforeFork()
	if args.flags&cloneIntoCgroup != 0 {
		n, _, errno = syscall.RawSyscall(sysClone3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0)
	} else {
		n, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(args.flags|args.exitSignal), 0, 0, 0, 0, 0)
	}
	if errno != 0 || n != 0 {
		afterFork()
		return int(n), errno
	}
	afterForkInChild()
	w.lead()
	return 0, 0
}

// sysClone3 is clone3(2), the same number on every architecture; package syscall does not name it.
const sysClone3 = 435

// lead walks the table in the child and ends the process: with 127 after a failure, which the parent
// has been told of, and with 0 when the table ends without execve.
//
//go:nosplit
//go:norace
func (w *walker) lead() {
	code := uintptr(0)
	syscall.RawSyscall(syscall.SYS_CLOSE, w.peer, 0, 0)
	if row, errno := w.run(); errno != 0 {
		w.say(msgFailed, uintptr(w.at(row).call), errno)
		code = 127
	}
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, code, 0, 0)
	}
}
