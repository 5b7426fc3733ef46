// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// TakeTree makes a copy of the mount that a path of the host is in, from that path down, which is
// mounted nowhere yet (open_tree(2) with OPEN_TREE_CLONE), and keeps it in a slot until [PlaceTree]
// mounts it in the container. A host call: only the host may give it an id map.
type TakeTree struct {
	// Source is a path of the host.
	Source string
	// Recursive takes along what is mounted below the source.
	Recursive bool
	// IDMap, if set, holds the map that [MakeIDMap] made; RecursiveIDMap maps the mounts below too.
	IDMap          kernel.Slot
	RecursiveIDMap bool
	// Propagation is MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE: what cuts the tie to the host's mounts,
	// as the first call of the container does for binds. 0 leaves the tie.
	Propagation uintptr
	// Into keeps the tree.
	Into kernel.Slot
}

// String is "take /data as a tree of its own, id-mapped".
func (t TakeTree) String() string {
	text := fmt.Sprintf("take %s as a tree of its own", t.Source)
	if t.Recursive {
		text = fmt.Sprintf("take %s with all below it as a tree of its own", t.Source)
	}
	switch {
	case t.IDMap != "" && t.RecursiveIDMap:
		text += ", all of it id-mapped"
	case t.IDMap != "":
		text += ", id-mapped"
	}
	return text
}

// Shell is empty: mount(8) takes and places in one command, see [PlaceTree].
func (t TakeTree) Shell() string { return "" }

// Assemble adds nothing: Do tells a kernel that can't from a file system that can't.
func (t TakeTree) Assemble(*kernel.Assembler) {}

// Do takes the tree and sets its map and propagation before anybody can see it.
func (t TakeTree) Do(h *kernel.Host) error {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if t.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, t.Source, flags)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", t.Source, explain(err))
	}
	h.Set(t.Into, tree)
	if t.Propagation != 0 {
		cut := unix.MountAttr{Propagation: uint64(t.Propagation)}
		if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &cut); err != nil {
			return fmt.Errorf("set the propagation of %s: %w", t.Source, explain(err))
		}
	}
	if t.IDMap == "" {
		return nil
	}
	idMap := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(h.FD(t.IDMap))}
	flags = unix.AT_EMPTY_PATH
	if t.RecursiveIDMap {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(tree, "", flags, &idMap); err != nil {
		return fmt.Errorf("id-map %s: %w", t.Source, explainIDMap(err))
	}
	return nil
}

// explain adds what an error of the mount calls of Linux 5.2 and 5.12 most often means.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: needs Linux 5.12", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: only root of the host may do this", err)
	}
	return err
}

// explainIDMap adds what an error of an id-mapped mount most often means.
func explainIDMap(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: its file system, or one mounted below it, can't be id-mapped on this kernel", err)
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: only root of the host may do this, to a mount that is not id-mapped yet", err)
	}
	return explain(err)
}

// PlaceTree mounts a tree that the host side prepared at a path of the container (move_mount(2)).
type PlaceTree struct {
	// Tree holds the tree.
	Tree   kernel.Slot
	Target string
	// File says that the tree is a single file: a missing target is made as an empty file.
	File bool
	// Finish is done to the tree before it is placed.
	Finish Finish
	// Command is the mount(8) command line that makes the same mount, without the target: for Shell.
	Command string
}

// String is "place the tree $tree1 on /data".
func (p PlaceTree) String() string {
	return fmt.Sprintf("place the tree $%s on %s%s", p.Tree, p.Target, p.Finish)
}

// Shell is the command that takes and mounts at once. For an id map it needs util-linux 2.39, and
// the rights of the host: a script of a container with a user namespace ends there with an error.
func (p PlaceTree) Shell() string {
	return madePoint(p.Target, p.File) + " && " + p.Command + " " + shellPath(p.Target) + p.Finish.shell(p.Target)
}

// Assemble makes the mount point where needed and moves the tree onto its descriptor.
func (p PlaceTree) Assemble(a *kernel.Assembler) {
	p.Finish.assemble(a, p.Tree)
	ensure(a, p.Target, p.File, confined)
	notTheRoot(a)
	moveTree(a, p.Tree)
	a.Close(slotTarget)
}
