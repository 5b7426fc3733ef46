// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Seccomp puts the calling thread, and all that descends from it, under a filter for good (seccomp(2)). It needs
// [NoNewPrivileges] before it, or CAP_SYS_ADMIN in the user namespace of the process: with the first it is the last call before
// execve, so that the filter need not allow the set-up; without, it comes before [Credentials.Become] takes the capability away,
// and the filter must allow what follows (capset, setresuid, prctl, close_range, execve and so on).
type Seccomp struct{ Filter *Filter }

// String shows size and default.
func (s Seccomp) String() string {
	return fmt.Sprintf("install a seccomp filter of %d instructions (default %s)", len(s.Filter.Program), s.Filter.Default)
}

// Shell is empty: setpriv can load a filter only since util-linux 2.41.
func (Seccomp) Shell() string { return "" }

// Assemble adds seccomp(2) with the program behind a struct sock_fprog: a length, padding, an address.
func (s Seccomp) Assemble(a *kernel.Assembler) {
	program := make([]byte, 0, 8*len(s.Filter.Program))
	for _, op := range s.Filter.Program {
		program = binary.NativeEndian.AppendUint16(program, op.Code)
		program = append(program, op.Jt, op.Jf)
		program = binary.NativeEndian.AppendUint32(program, op.K)
	}
	install := a.Sys(unix.SYS_SECCOMP, kernel.Int(unix.SECCOMP_SET_MODE_FILTER), kernel.Int(s.Filter.Flags),
		kernel.Struct(kernel.Int(len(s.Filter.Program)), kernel.Bytes(program)))
	if s.Filter.Listens {
		install.Into(slotListener)
	}
}
