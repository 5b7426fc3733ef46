// SPDX-License-Identifier: Apache-2.0

// Package union is a union file system in Go, small enough to be read in an hour. It does what the kernel's overlay does, on
// the same folders, so the two can be compared and can even take turns.
//
// A union is folders on top of each other. The lowest are layers that nobody changes; the topmost may be a writable one, and takes
// all changes. Four ideas make one tree of them:
//
//   - A name is looked up from the top down, and what is found first wins (lookup.go). Only folders merge: what a folder of
//     the union shows is the names of all the folders that lie on top of each other there (read.go).
//   - Before something of a lower layer is changed, it is copied to the upper one, with the folders that lead to it: copy-up
//     (copyup.go).
//   - What is removed but is still there in a lower layer gets a whiteout in the upper one: a mark under its name, at which every
//     lookup stops (remove.go). The mark is a character device with number 0:0, which no driver has.
//   - A folder that takes the place of a removed one is opaque: an extended attribute says that nothing below it merges
//     (create.go).
//
// A folder of a lower layer can't be renamed: all that is in it would have to be copied. The answer is EXDEV, as between two file systems,
// and mv(1) knows what to do with it.
//
// # All or nothing
//
// Everything new is made in the work folder, complete, and appears in the upper folder by one rename(2); what goes away leaves it
// by one rename. So a program that is killed leaves the union as it was before the operation or as it is after, and a rest
// in the work folder that the next [New] removes. One program at a time may write: it holds a lock on the work folder.
//
// # Layers are hostile
//
// A layer is somebody else's files. Every name is opened below the descriptor of its folder with openat2(2), and symbolic links
// are followed here, in the union, whose root is their "/" (walk.go). Nothing in a layer leads out of it. Devices and pipes are
// shown but never opened.
//
// # Differences from the kernel's overlay
//
// Whoever has a file of a lower layer open goes on reading the old one after a copy-up; so it is in the kernel. Hard links between files of
// a lower layer are broken by a copy-up; so it is there, without its option index=on. Not here: the options redirect_dir and metacopy (a layer that was written
// with them is refused), inode numbers that outlive a copy-up, file attributes (chattr(1)).
// The kernel lists a whiteout that is in a folder which only one layer has; this package hides it.
//
// # Sources
//
// Documentation/filesystems/overlayfs.rst of the kernel; openat2(2) (Linux 5.6), rename(2) with RENAME_WHITEOUT and RENAME_EXCHANGE, xattr(7).
// An ordinary user may make whiteouts since Linux 5.8.
//
// Read first: union.go, lookup.go, copyup.go, remove.go.
package union
