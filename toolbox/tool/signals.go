// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"encoding/binary"
	"os/signal"
	"reflect"
	"runtime"

	"golang.org/x/sys/unix"
)

// DefaultSignal gives a signal back to the kernel, with the action SIG_DFL; see signal(7) and rt_sigaction(2). The Go
// runtime keeps a handler of its own for it, which signal.Reset does not take away. A later signal.Notify works as ever.
func DefaultSignal(sig unix.Signal) {
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
