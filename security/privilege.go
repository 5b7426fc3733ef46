// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// dropBounding takes from the bounding set what is not in Keep (PR_CAPBSET_DROP, prctl(2)).
type dropBounding struct {
	Keep Set
	Last int // the highest capability number of the kernel
}

// String shows what is left.
func (d dropBounding) String() string {
	return "limit the bounding set of capabilities to: " + d.Keep.String()
}

// Shell is empty: see [Credentials.Setpriv].
func (dropBounding) Shell() string { return "" }

// Assemble adds one prctl for each capability that goes.
func (d dropBounding) Assemble(a *kernel.Assembler) {
	for _, n := range (all(d.Last) &^ d.Keep).numbers() {
		a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_CAPBSET_DROP), kernel.Int(n), kernel.Int(0), kernel.Int(0), kernel.Int(0))
	}
}

// setCapabilities sets three of the five sets (capset(2)).
type setCapabilities struct{ Effective, Permitted, Inheritable Set }

// String shows the sets; most often effective and permitted are the same.
func (s setCapabilities) String() string {
	if s.Effective == s.Permitted {
		return fmt.Sprintf("set the capabilities: effective and permitted %s; inheritable %s", s.Permitted, s.Inheritable)
	}
	return fmt.Sprintf("set the capabilities: effective %s; permitted %s; inheritable %s", s.Effective, s.Permitted, s.Inheritable)
}

// Shell is empty: see [Credentials.Setpriv].
func (setCapabilities) Shell() string { return "" }

// Assemble adds capset for this process. Version 3 of its interface takes 64 bits as two structs of 32-bit words:
//
//	struct __user_cap_header_struct { __u32 version; int pid; };
//	struct __user_cap_data_struct { __u32 effective; __u32 permitted; __u32 inheritable; } data[2];
func (s setCapabilities) Assemble(a *kernel.Assembler) {
	header := words(unix.LINUX_CAPABILITY_VERSION_3, 0)
	data := words(
		uint32(s.Effective), uint32(s.Permitted), uint32(s.Inheritable),
		uint32(s.Effective>>32), uint32(s.Permitted>>32), uint32(s.Inheritable>>32))
	a.Sys(unix.SYS_CAPSET, kernel.Bytes(header), kernel.Bytes(data))
}

// words lays out 32-bit words as C does.
func words(list ...uint32) []byte {
	var b []byte
	for _, w := range list {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

// setAmbient sets the capabilities that a program without privilege of its own keeps over execve (PR_CAP_AMBIENT, prctl(2)).
type setAmbient struct{ Set Set }

// String shows the set.
func (s setAmbient) String() string { return "set the ambient capabilities: " + s.Set.String() }

// Shell is empty: see [Credentials.Setpriv].
func (setAmbient) Shell() string { return "" }

// Assemble clears the set and raises each capability in it.
func (s setAmbient) Assemble(a *kernel.Assembler) {
	ambient := func(what, capability int) {
		a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_CAP_AMBIENT), kernel.Int(what), kernel.Int(capability), kernel.Int(0), kernel.Int(0))
	}
	ambient(unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	for _, n := range s.Set.numbers() {
		ambient(unix.PR_CAP_AMBIENT_RAISE, n)
	}
}

// setGroups replaces the supplementary groups (setgroups(2)).
type setGroups struct{ GIDs []uint32 }

// String shows the groups.
func (s setGroups) String() string {
	if len(s.GIDs) == 0 {
		return "leave all supplementary groups"
	}
	return "set the supplementary groups to " + strings.ReplaceAll(ids(s.GIDs), ",", ", ")
}

// Shell is empty: see [Credentials.Setpriv].
func (setGroups) Shell() string { return "" }

// Assemble adds the raw call, which changes this thread alone; the child has no other.
func (s setGroups) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SETGROUPS, kernel.Int(len(s.GIDs)), kernel.Bytes(words(s.GIDs...)))
}

// setGroup sets the real, effective and saved group (setresgid(2)).
type setGroup struct{ GID uint32 }

// String shows the group.
func (s setGroup) String() string { return "become group " + id(s.GID) }

// Shell is empty: see [Credentials.Setpriv].
func (setGroup) Shell() string { return "" }

// Assemble adds the call.
func (s setGroup) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SETRESGID, kernel.Int(s.GID), kernel.Int(s.GID), kernel.Int(s.GID))
}

// setUser sets the real, effective and saved user (setresuid(2)).
type setUser struct{ UID uint32 }

// String shows the user.
func (s setUser) String() string { return "become user " + id(s.UID) }

// Shell is empty: see [Credentials.Setpriv].
func (setUser) Shell() string { return "" }

// Assemble adds the call.
func (s setUser) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SETRESUID, kernel.Int(s.UID), kernel.Int(s.UID), kernel.Int(s.UID))
}
