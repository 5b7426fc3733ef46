// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"encoding/binary"
	"os"
	"os/signal"
	"reflect"
	"runtime"

	"golang.org/x/sys/unix"
)

// DefaultSignal gives a signal back to the kernel, with the action SIG_DFL; see signal(7) and rt_sigaction(2). The Go
// runtime keeps a handler of its own for it, which signal.Reset does not take away. A later signal.Notify works as ever.
//
// For the first process of a PID namespace the kernel drops signals with that action (pid_namespaces(7)), but not one that comes while the
// main thread blocks it, as Go does when it forks: another thread then ends the process. So there the signal is caught and
// dropped here; what the process executes gets SIG_DFL all the same.
func DefaultSignal(sig unix.Signal) {
	if os.Getpid() == 1 {
		signal.Notify(make(chan os.Signal, 1), sig) // nobody reads it
		return
	}
	signal.Ignore(sig) // makes the runtime forget its handler, so that Notify installs it again
	// struct sigaction of the kernel, all zero: SIG_DFL, no flags, an empty mask. 32 bytes hold it on every machine.
	action := new([32]byte)
	// It fails for KILL and STOP only, which no one asks for; reflect gives the address without package unsafe.
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), reflect.ValueOf(action).Pointer(), 0, 8, 0, 0)
	runtime.KeepAlive(action)
}

// IgnoredSignal reports whether the action of a signal is SIG_IGN in the kernel. After DefaultSignal, signal.Ignored, which asks the
// Go runtime, says so without it being true.
func IgnoredSignal(sig unix.Signal) bool {
	action := new([32]byte) // as in DefaultSignal; the handler comes first on every machine but mips
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, reflect.ValueOf(action).Pointer(), 8, 0, 0)
	return errno == 0 && binary.NativeEndian.Uint64(action[:8]) == 1 // SIG_IGN
}
