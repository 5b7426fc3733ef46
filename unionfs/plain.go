// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// PlainRoot is the root of a driver that made a plain folder.
func PlainRoot(path string, readOnly bool) Root {
	if !readOnly {
		return Root{Path: path}
	}
	return Root{Path: path, Calls: []kernel.Call{{
		Request: ReadOnlyBind{path}, Why: "the folder can be written to; the container sees a mount of it that can't",
	}}}
}

// ReadOnlyBind mounts a folder over itself, read-only, in the container's mount namespace.
type ReadOnlyBind struct{ Path string }

// String is "bind PATH over itself, read-only".
func (b ReadOnlyBind) String() string { return fmt.Sprintf("bind %s over itself, read-only", b.Path) }

// Shell is mount(8), in two steps as the kernel's mount(2) has it.
func (b ReadOnlyBind) Shell() string {
	path := kernel.Quote(b.Path)
	return fmt.Sprintf("mount --bind %[1]s %[1]s && mount -o remount,bind,ro %[1]s", path)
}

// Assemble copies the mount (open_tree(2)), makes the copy read-only (mount_setattr(2), Linux 5.12) and places it.
func (b ReadOnlyBind) Assemble(a *kernel.Assembler) {
	const attrSize = 32 // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
	none, here, path, empty := kernel.Int(0), kernel.Int(unix.AT_FDCWD), kernel.Str(b.Path), kernel.Str("")
	a.Sys(unix.SYS_OPEN_TREE, here, path, kernel.Int(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)).Into(slotOverlay)
	attributes := kernel.Struct(kernel.Int(unix.MOUNT_ATTR_RDONLY), none, none, none)
	a.Sys(unix.SYS_MOUNT_SETATTR, kernel.FD(slotOverlay), empty, kernel.Int(unix.AT_EMPTY_PATH), attributes, kernel.Int(attrSize))
	a.Sys(unix.SYS_MOVE_MOUNT, kernel.FD(slotOverlay), empty, here, path, kernel.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	a.Close(slotOverlay)
}
