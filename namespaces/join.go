// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Join enters a namespace whose file [Open] has opened (setns(2)).
type Join struct {
	Kind Kind
	// Path is the file: /proc/PID/ns/KIND, or where [Keep] has bound one.
	Path string
}

// Slot is where the open file is kept. A caller who has opened it himself gives it to the program and leaves out [Open].
func (j Join) Slot() kernel.Slot { return kernel.Slot("ns-" + string(j.Kind)) }

// String is "join the net namespace /proc/7/ns/net".
func (j Join) String() string { return fmt.Sprintf("join the %s namespace %s", j.Kind, j.Path) }

// Shell is nsenter(1), whose options are named as the files, but for "mount".
func (j Join) Shell() string {
	option := strings.Replace(string(j.Kind), "mnt", "mount", 1)
	return fmt.Sprintf("nsenter --%s=%s", option, kernel.Quote(j.Path))
}

// Assemble is setns(2); the flag makes the kernel refuse a file of another kind. An unknown kind is
// refused too, where no flag at all would let any file pass.
func (j Join) Assemble(a *kernel.Assembler) {
	flag := j.Kind.Flag()
	if flag == 0 {
		flag = ^uintptr(0)
	}
	a.Sys(unix.SYS_SETNS, kernel.FD(j.Slot()), kernel.Int(flag))
	a.Close(j.Slot())
}

// Open opens a namespace's file for [Join].
type Open Join

// String is "open the net namespace /proc/7/ns/net".
func (o Open) String() string { return fmt.Sprintf("open the %s namespace %s", o.Kind, o.Path) }

// Shell is empty: nsenter(1) opens by itself.
func (o Open) Shell() string { return "" }

// Assemble is openat(2).
func (o Open) Assemble(a *kernel.Assembler) {
	flags := kernel.Int(unix.O_RDONLY | unix.O_CLOEXEC)
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str(o.Path), flags, kernel.Int(0)).Into(Join(o).Slot())
}

// Unshare moves the caller into new namespaces (unshare(2)).
type Unshare struct{ Flags uintptr }

// String names the namespaces.
func (u Unshare) String() string { return "unshare: " + kernel.NamespaceNames(u.Flags) }

// Shell is unshare(1).
func (u Unshare) Shell() string {
	return "unshare " + strings.Join(kernel.UnshareOptions(u.Flags), " ")
}

// Assemble is unshare(2).
func (u Unshare) Assemble(a *kernel.Assembler) { a.Sys(unix.SYS_UNSHARE, kernel.Int(u.Flags)) }

// MoveOn goes on in a child of the set-up process, in new namespaces.
type MoveOn struct{ Flags uintptr }

// String names the namespaces.
func (m MoveOn) String() string {
	if m.Flags == 0 {
		return "go on in a child"
	}
	return "go on in a child with new namespaces: " + kernel.NamespaceNames(m.Flags)
}

// Shell is unshare(1) with --fork.
func (m MoveOn) Shell() string {
	return strings.Join(append([]string{"unshare"}, append(kernel.UnshareOptions(m.Flags), "--fork")...), " ")
}

// Assemble forks and leaves.
func (m MoveOn) Assemble(a *kernel.Assembler) { a.MoveOn(m.Flags) }
