// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// slotTree holds a tree of mounts that is attached nowhere yet.
const slotTree kernel.Slot = "tree"

// Finish is what is changed about a copied tree of mounts before it is placed. Afterwards would be too
// late: whoever shares a volume with the container could have exchanged the mount point by then, and
// the change would hit another mount and leave this one writable.
type Finish struct {
	// Attributes are changed in this order; their Target and Kept are not used.
	Attributes []Attributes
	// Propagation holds MS_SHARED and so on, each with MS_REC or not.
	Propagation []uintptr
}

// String is " (ro,nosuid; private)", and "" for nothing.
func (f Finish) String() string {
	var parts []string
	for _, t := range f.Attributes {
		words := strings.Join(t.words(), ",")
		if t.Recursive {
			words = "with all below it " + words
		}
		parts = append(parts, words)
	}
	for _, flags := range f.Propagation {
		parts = append(parts, Propagation{Flags: flags}.word())
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// shell returns the commands that do the same to the mount at target, each behind "&&".
func (f Finish) shell(target string) string {
	var b strings.Builder
	for _, t := range f.Attributes {
		t.Target = target
		b.WriteString(" && " + t.Shell())
	}
	for _, flags := range f.Propagation {
		b.WriteString(" && " + Propagation{Target: target, Flags: flags}.Shell())
	}
	return b.String()
}

// assemble changes the tree in a slot.
func (f Finish) assemble(a *kernel.Assembler, tree kernel.Slot) {
	for _, t := range f.Attributes {
		setAttributes(a, tree, t.Set, t.Clear, 0, t.Recursive)
	}
	for _, flags := range f.Propagation {
		setAttributes(a, tree, 0, 0, flags&^unix.MS_REC, flags&unix.MS_REC != 0)
	}
}

// setAttributes assembles mount_setattr(2) of the mount in a slot.
func setAttributes(a *kernel.Assembler, mount kernel.Slot, set, unset uint64, propagation uintptr, recursive bool) {
	const attrSize = 32 // struct mount_attr: attr_set, attr_clr, propagation, userns_fd
	flags := unix.AT_EMPTY_PATH
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := kernel.Struct(kernel.Int(set), kernel.Int(unset), kernel.Int(propagation), kernel.Int(0))
	a.Sys(unix.SYS_MOUNT_SETATTR, kernel.FD(mount), kernel.Str(""), kernel.Int(flags), attr, kernel.Int(attrSize))
}

// moveTree assembles move_mount(2) of the tree in a slot to the target.
func moveTree(a *kernel.Assembler, tree kernel.Slot) {
	empty, flags := kernel.Str(""), kernel.Int(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	a.Sys(unix.SYS_MOVE_MOUNT, kernel.FD(tree), empty, kernel.FD(slotTarget), empty, flags)
	a.Close(tree)
}

// BindDescriptor assembles the bind of what an earlier call keeps open in a slot, a file, on a path of
// the container, which is made where it is missing.
func BindDescriptor(a *kernel.Assembler, from kernel.Slot, target string) {
	ensure(a, target, true, confined)
	notTheRoot(a)
	a.Sys(unix.SYS_MOUNT, kernel.FDPath(from), kernel.FDPath(slotTarget), kernel.Int(0), kernel.Int(unix.MS_BIND), kernel.Int(0))
	a.Close(slotTarget)
}
