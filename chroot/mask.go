// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Mask hides a path of the container: a file behind its /dev/null, a folder behind an empty read-only
// tmpfs. A path that is not there needs no hiding. The root itself can't be masked.
type Mask struct{ Path string }

// String names the path.
func (m Mask) String() string { return "mask " + m.Path }

// Shell does what fits the path.
func (m Mask) Shell() string {
	return fmt.Sprintf(`if [ -d %[1]s ]; then mount -t tmpfs -o ro tmpfs %[1]s; elif [ -e %[1]s ]; then mount --bind "$root"/dev/null %[1]s; fi`, shellPath(m.Path))
}

// Assemble asks whether the path is a folder instead of trying a bind that would fail: the kernel takes
// a failed one back as it takes back a mount that was in use, waiting for all processors, which can
// take longer than the whole container. Only the errors of the first look at the path are passed over:
// with no /dev/null to hide it behind, a path that is there would stay in sight.
func (m Mask) Assemble(a *kernel.Assembler) {
	const slotFolder kernel.Slot = "folder"
	a.When(found(a, m.Path), func() {
		notTheRoot(a)
		folder := open(a, m.Path, unix.O_DIRECTORY, confined, slotFolder)
		a.Either(folder.Ignore(unix.ENOTDIR), func() {
			a.Sys(unix.SYS_MOUNT, kernel.Str("tmpfs"), kernel.FDPath(slotTarget), kernel.Str("tmpfs"), kernel.Int(unix.MS_RDONLY), kernel.Int(0))
			a.Close(slotFolder)
		}, func() { hideFile(a) })
		a.Close(slotTarget)
	})
}

// hideFile binds the container's /dev/null over the target. It must be the real device: an image could
// have put something else there.
func hideFile(a *kernel.Assembler) {
	const slotNull kernel.Slot = "null"
	const rdev, size = 128, 256 // of struct statx: offset of major and minor, all of it
	open(a, "/dev/null", 0, strict, slotNull)
	stat := a.Reserve(size)
	a.Sys(unix.SYS_STATX, kernel.FD(slotNull), kernel.Str(""), kernel.Int(unix.AT_EMPTY_PATH), kernel.Int(unix.STATX_TYPE), stat)
	null := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, 1), 3)
	a.Same(stat.At(rdev), kernel.Bytes(null), len(null), unix.ENODEV)
	a.Sys(unix.SYS_MOUNT, kernel.FDPath(slotNull), kernel.FDPath(slotTarget), kernel.Int(0), kernel.Int(unix.MS_BIND), kernel.Int(0))
	a.Close(slotNull)
}

// found opens a path that need not be there as the target.
func found(a *kernel.Assembler, name string) *kernel.Op {
	return open(a, name, 0, confined, slotTarget).Ignore(unix.ENOENT, unix.ENOTDIR)
}

// ReadOnly makes a path of the container read-only by a read-only copy of its mount. A path that is not
// there needs no protection. The root itself is made so by [Root].ReadOnly.
type ReadOnly struct {
	Path string
	// Kept are the MS_* flags of the mount it is in; only Shell needs them, see [Attributes].
	Kept uintptr
}

// String names the path.
func (r ReadOnly) String() string { return "make " + r.Path + " read-only" }

// Shell binds and remounts.
func (r ReadOnly) Shell() string {
	again := Attributes{Target: r.Path, Set: unix.MOUNT_ATTR_RDONLY, Kept: r.Kept}.Shell()
	return fmt.Sprintf("if [ -e %[1]s ]; then mount --rbind %[1]s %[1]s && %[2]s; fi", shellPath(r.Path), again)
}

// Assemble makes a read-only copy of what is mounted at the path and moves it there.
func (r ReadOnly) Assemble(a *kernel.Assembler) {
	a.When(found(a, r.Path), func() {
		notTheRoot(a)
		flags := kernel.Int(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE | unix.AT_EMPTY_PATH)
		a.Sys(unix.SYS_OPEN_TREE, kernel.FD(slotTarget), kernel.Str(""), flags).Into(slotTree)
		setAttributes(a, slotTree, unix.MOUNT_ATTR_RDONLY, 0, 0, false)
		moveTree(a, slotTree)
		a.Close(slotTarget)
	})
}
