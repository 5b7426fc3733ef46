// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody runs a function as an ordinary user, on a thread that is then thrown away, in a new folder of that user. A stream's own
// goroutines only read memory.
func asNobody(t *testing.T, f func(dir string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nobody") // what t.TempDir makes is in a folder of root
	must(t, err)
	defer os.RemoveAll(dir)
	if os.Geteuid() != 0 {
		f(dir)
		return
	}
	const nobody = 65534
	must(t, os.Chown(dir, nobody, nobody))
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		same := ^uintptr(0)
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} { // package unix would do it for all threads
			if _, _, errno := unix.RawSyscall(call, same, nobody, same); errno != 0 {
				t.Error(errno)
				return
			}
		}
		f(dir)
	}()
	<-done
}
