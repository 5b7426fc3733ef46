// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// BindRoot binds the root folder over itself, which makes it a mount point, and opens it as the slot
// "root", from which all paths of the container are looked up.
type BindRoot struct{ Path string }

// String names the folder.
func (b BindRoot) String() string { return fmt.Sprintf("bind the root %s over itself", b.Path) }

// Shell is mount --rbind.
func (b BindRoot) Shell() string { return `mount --rbind "$root" "$root" && cd "$root"` }

// Assemble binds, then opens: the descriptor is of the new mount.
func (b BindRoot) Assemble(a *kernel.Assembler) {
	p := kernel.Str(b.Path)
	a.Sys(unix.SYS_MOUNT, p, p, kernel.Int(0), kernel.Int(unix.MS_BIND|unix.MS_REC), kernel.Int(0))
	flags := kernel.Int(unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC)
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), p, flags, kernel.Int(0)).Into(slotRoot)
}

// Pivot makes the open root the "/" of the mount namespace and detaches the old one. Nothing of the
// host can be reached afterwards: there is no mount left that it could be reached through.
type Pivot struct{}

// String says what it does.
func (Pivot) String() string { return "pivot_root into the root and detach the old one" }

// Shell is pivot_root(8) with both arguments ".": the old root is stacked on the new one, and the
// script's function old, which runs programs of the old root, unmounts it.
func (Pivot) Shell() string {
	return "exec 8</ && pivot_root . . && cd /proc/self/fd/8 && old umount --no-canonicalize --lazy ."
}

// Assemble is pivot_root(2) in its ".", "." form (see its NOTES): the old root ends up on top of the
// new one. It is made a slave first, so that detaching it stays in this namespace.
func (Pivot) Assemble(a *kernel.Assembler) {
	const slotOld kernel.Slot = "oldroot"
	dot := kernel.Str(".")
	flags := kernel.Int(unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC)
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str("/"), flags, kernel.Int(0)).Into(slotOld)
	a.Sys(unix.SYS_FCHDIR, kernel.FD(slotRoot))
	a.Sys(unix.SYS_PIVOT_ROOT, dot, dot)
	a.Sys(unix.SYS_FCHDIR, kernel.FD(slotOld))
	a.Sys(unix.SYS_MOUNT, kernel.Int(0), dot, kernel.Int(0), kernel.Int(unix.MS_SLAVE|unix.MS_REC), kernel.Int(0))
	a.Sys(unix.SYS_UMOUNT2, dot, kernel.Int(unix.MNT_DETACH))
	a.Sys(unix.SYS_CHDIR, kernel.Str("/"))
	a.Close(slotOld)
}

// Chroot makes a folder the root of the calling process alone (chroot(2)). It is no prison: a
// process with CAP_SYS_CHROOT leaves it with a second chroot and "..", see steps/02-chroot.
type Chroot struct{ Path string }

// String names the folder.
func (c Chroot) String() string { return "chroot to " + c.Path }

// Shell is chroot(8).
func (c Chroot) Shell() string { return "chroot " + kernel.Quote(c.Path) }

// Assemble is chroot(2) and the chdir(2) without which the working directory stays outside.
func (c Chroot) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_CHROOT, kernel.Str(c.Path))
	a.Sys(unix.SYS_CHDIR, kernel.Str("/"))
}

// MoveRoot moves the root's mount over "/" and enters it (MS_MOVE, chroot(2)): the way for a machine
// whose own root is the initial ramfs, which pivot_root(2) refuses. The old root stays mounted below,
// out of sight but not out of reach of a process that may mount.
type MoveRoot struct{}

// String says what it does.
func (MoveRoot) String() string { return "move the root over / and chroot to it" }

// Shell is mount --move.
func (MoveRoot) Shell() string { return `mount --move "$root" /` }

// Assemble is fchdir(2), mount(2) with MS_MOVE, chroot(2) and chdir(2).
func (MoveRoot) Assemble(a *kernel.Assembler) {
	dot, slash := kernel.Str("."), kernel.Str("/")
	a.Sys(unix.SYS_FCHDIR, kernel.FD(slotRoot))
	a.Sys(unix.SYS_MOUNT, dot, slash, kernel.Int(0), kernel.Int(unix.MS_MOVE), kernel.Int(0))
	a.Sys(unix.SYS_CHROOT, dot)
	a.Sys(unix.SYS_CHDIR, slash)
}

// WorkingDir enters the folder in which the container's command starts, and checks that it is inside
// the root: getcwd(2) gives a path that begins with "(unreachable)" for any other, which is what a
// descriptor leaked from the host would lead to (CVE-2024-21626).
type WorkingDir struct{ Path string }

// String names the folder.
func (w WorkingDir) String() string { return "enter the working directory " + w.Path }

// Shell is the -C option of env(1), used where the command is executed.
func (w WorkingDir) Shell() string { return "" }

// Assemble is chdir(2) and the check.
func (w WorkingDir) Assemble(a *kernel.Assembler) {
	const size = 4096
	buffer := a.Reserve(size)
	a.Sys(unix.SYS_CHDIR, kernel.Str(w.Path))
	a.Sys(unix.SYS_GETCWD, buffer, kernel.Int(size))
	a.Same(buffer, kernel.Str("/"), 1, unix.EXDEV)
}

// Folder makes a folder of the container where it is missing, with its parents.
type Folder struct{ Path string }

// String names the folder.
func (f Folder) String() string { return "make the folder " + f.Path + " where it is missing" }

// Shell is mkdir -p.
func (f Folder) Shell() string { return "mkdir -p " + shellPath(f.Path) }

// Assemble makes it below the root's descriptor.
func (f Folder) Assemble(a *kernel.Assembler) {
	ensure(a, f.Path, false, confined)
	a.Close(slotTarget)
}
