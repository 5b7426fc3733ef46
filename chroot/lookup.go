// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// The slots this package uses.
const (
	slotRoot   kernel.Slot = "root"   // the root folder, open for the whole set-up
	slotTarget kernel.Slot = "target" // the object that a call is about
	slotParent kernel.Slot = "parent" // the folder it is in
)

// confined is how a path of the container is resolved: symbolic links and ".." stay inside the root,
// and links of /proc that jump (/proc/self/fd/N) are not followed.
const confined = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// strict is for mount points of /proc and /sys: no symbolic link at all.
const strict = confined | unix.RESOLVE_NO_SYMLINKS

// open assembles openat2(2) of a path of the container into a slot, without following it out of the
// root, as a mere reference (O_PATH) that grants no access by itself.
func open(a *kernel.Assembler, name string, flags int, resolve uint64, into kernel.Slot) *kernel.Op {
	const howSize = 24 // struct open_how: flags, mode, resolve
	how := kernel.Struct(kernel.Int(flags|unix.O_PATH|unix.O_CLOEXEC), kernel.Int(0), kernel.Int(resolve))
	return a.Sys(unix.SYS_OPENAT2, kernel.FD(slotRoot), kernel.Str(inside(name)), how, kernel.Int(howSize)).Into(into)
}

// inside turns a path of the container into one relative to its root: "/" is ".".
func inside(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// ensure assembles: open name as the target; where it is not there, make it and its parents (as a
// folder, or an empty file) and open it then.
func ensure(a *kernel.Assembler, name string, file bool, resolve uint64) {
	found := open(a, name, 0, resolve, slotTarget).Ignore(unix.ENOENT)
	a.Unless(found, func() {
		openParentMade(a, name, resolve)
		base := path.Base(inside(name))
		if file {
			flags := unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
			made := a.Sys(unix.SYS_OPENAT, kernel.FD(slotParent), kernel.Str(base), kernel.Int(flags), kernel.Int(0o644))
			made.Into(slotTarget)
			a.Close(slotTarget)
		} else {
			a.Sys(unix.SYS_MKDIRAT, kernel.FD(slotParent), kernel.Str(base), kernel.Int(0o755)).Ignore(unix.EEXIST)
		}
		a.Close(slotParent)
		open(a, name, 0, resolve, slotTarget)
	})
}

// makeParents assembles the making of the folders above name, each below the descriptor of its own
// parent: a symbolic link in the image leads at most to another place in the image.
func makeParents(a *kernel.Assembler, name string, resolve uint64) {
	parts := strings.Split(inside(name), "/")
	for i := range len(parts) - 1 {
		openParent(a, strings.Join(parts[:i+1], "/"), resolve)
		a.Sys(unix.SYS_MKDIRAT, kernel.FD(slotParent), kernel.Str(parts[i]), kernel.Int(0o755)).Ignore(unix.EEXIST)
		a.Close(slotParent)
	}
}

// openParentMade assembles the opening of the folder that name is in, which is made where it is missing.
func openParentMade(a *kernel.Assembler, name string, resolve uint64) {
	found := open(a, path.Dir(inside(name)), unix.O_DIRECTORY, resolve, slotParent).Ignore(unix.ENOENT)
	a.Unless(found, func() {
		makeParents(a, name, resolve)
		openParent(a, name, resolve)
	})
}

// openParent assembles the opening of the folder that name is in.
func openParent(a *kernel.Assembler, name string, resolve uint64) {
	open(a, path.Dir(inside(name)), unix.O_DIRECTORY, resolve, slotParent)
}

// notTheRoot assembles a check that the target is not the root folder itself: something mounted
// there would hide what was prepared, and a container whose "proc" is a link to "/" is refused.
func notTheRoot(a *kernel.Assembler) {
	const (
		size = 256 // struct statx
		from = 32  // its inode number …
		to   = 152 // … up to the end of its mount id; the times between are the same for one inode
	)
	root, target := a.Reserve(size), a.Reserve(size)
	mask := kernel.Int(unix.STATX_INO | unix.STATX_MNT_ID)
	empty, flags := kernel.Str(""), kernel.Int(unix.AT_EMPTY_PATH)
	a.Sys(unix.SYS_STATX, kernel.FD(slotRoot), empty, flags, mask, root)
	a.Sys(unix.SYS_STATX, kernel.FD(slotTarget), empty, flags, mask, target)
	a.Differ(root.At(from), target.At(from), to-from, unix.ELOOP)
}

// shellPath is a path of the container as a script outside of it names it.
func shellPath(name string) string {
	name = inside(name)
	if name == "." {
		return `"$root"`
	}
	return `"$root"/` + kernel.Quote(name)
}
