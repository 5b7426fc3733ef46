// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Device makes a device node, or a named pipe, at a path of the container (mknod(2)). One that is
// there already stays.
type Device struct {
	Path string
	// Mode holds the kind (S_IFCHR, S_IFBLK, S_IFIFO) and the permission bits.
	Mode         uint32
	Major, Minor uint32
	UID, GID     int
}

// kind returns mknod(1)'s letter.
func (d Device) kind() string {
	switch d.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return "b"
	case unix.S_IFIFO:
		return "p"
	}
	return "c"
}

// numbers returns "1 3", and "" for a pipe.
func (d Device) numbers() string {
	if d.kind() == "p" {
		return ""
	}
	return fmt.Sprintf(" %d %d", d.Major, d.Minor)
}

// String is "make the device /dev/null (c 1 3)".
func (d Device) String() string {
	return fmt.Sprintf("make the device %s (%s%s)", d.Path, d.kind(), d.numbers())
}

// Shell is mknod(1).
func (d Device) Shell() string {
	target := shellPath(d.Path)
	line := fmt.Sprintf("mknod -m %o %s %s%s", d.Mode&0o7777, target, d.kind(), d.numbers())
	if d.UID != 0 || d.GID != 0 {
		line = fmt.Sprintf("{ %s && chown %d:%d %s; }", line, d.UID, d.GID, target)
	}
	return fmt.Sprintf("[ -e %s ] || %s", target, line)
}

// Assemble makes the node below its folder's descriptor. The umask is empty by then.
func (d Device) Assemble(a *kernel.Assembler) {
	openParentMade(a, d.Path, confined)
	base := kernel.Str(path.Base(inside(d.Path)))
	number := kernel.Int(unix.Mkdev(d.Major, d.Minor))
	made := a.Sys(unix.SYS_MKNODAT, kernel.FD(slotParent), base, kernel.Int(d.Mode), number).Ignore(unix.EEXIST)
	a.When(made, func() {
		if d.UID != 0 || d.GID != 0 {
			a.Sys(unix.SYS_FCHOWNAT, kernel.FD(slotParent), base, kernel.Int(d.UID), kernel.Int(d.GID), kernel.Int(unix.AT_SYMLINK_NOFOLLOW))
		}
	})
	a.Close(slotParent)
}

// Symlink makes a symbolic link at a path of the container. Something that is there already stays.
type Symlink struct{ Target, Path string }

// String is "link /dev/fd to /proc/self/fd".
func (s Symlink) String() string { return fmt.Sprintf("link %s to %s", s.Path, s.Target) }

// Shell is ln -s.
func (s Symlink) Shell() string {
	return fmt.Sprintf("[ -e %[2]s ] || [ -L %[2]s ] || ln -s %[1]s %[2]s", kernel.Quote(s.Target), shellPath(s.Path))
}

// Assemble makes the link below its folder's descriptor.
func (s Symlink) Assemble(a *kernel.Assembler) {
	openParent(a, s.Path, confined)
	base := kernel.Str(path.Base(inside(s.Path)))
	a.Sys(unix.SYS_SYMLINKAT, kernel.Str(s.Target), kernel.FD(slotParent), base).Ignore(unix.EEXIST)
	a.Close(slotParent)
}

// DefaultDevices are the device nodes every container has (OCI config-linux.md, "Default Devices").
func DefaultDevices() []Device {
	const mode = unix.S_IFCHR | 0o666
	return []Device{
		{Path: "/dev/null", Mode: mode, Major: 1, Minor: 3},
		{Path: "/dev/zero", Mode: mode, Major: 1, Minor: 5},
		{Path: "/dev/full", Mode: mode, Major: 1, Minor: 7},
		{Path: "/dev/random", Mode: mode, Major: 1, Minor: 8},
		{Path: "/dev/urandom", Mode: mode, Major: 1, Minor: 9},
		{Path: "/dev/tty", Mode: mode, Major: 5, Minor: 0},
	}
}

// DefaultLinks are the symbolic links every container has (OCI config-linux.md, "Default Filesystems"
// and "Default Devices"); /dev/core only where the kernel has /proc/kcore.
func DefaultLinks(kcore bool) []Symlink {
	links := []Symlink{
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	}
	if kcore {
		links = append(links, Symlink{"/proc/kcore", "/dev/core"})
	}
	return links
}
