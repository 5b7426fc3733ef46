// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Ioctl is ioctl(2) with the address of a structure, as bytes, which the kernel may write to. The structure has at least one byte, and as
// many as the request wants: the kernel does not ask.
func Ioctl(fd int, request uintptr, structure []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&structure[0])))
	if errno != 0 {
		return errno
	}
	return nil
}
