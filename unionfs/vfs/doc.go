// SPDX-License-Identifier: Apache-2.0

// Package vfs makes a root file system by copying the layers on top of each other into one plain folder.
//
// That works on every file system and needs no right but to make the files. Where the file system shares blocks between
// files (ioctl_ficlone(2): btrfs, XFS, bcachefs), a copy costs neither time nor space; elsewhere it costs both, for each container
// anew. Whiteouts and opaque directories of a layer take away what lower ones made.
//
// [Apply] puts one layer on a tree; package btrfs uses it as well. Paths longer than PATH_MAX (path_resolution(7)) can't be copied.
//
// Calls: ioctl_ficlone(2), copy_file_range(2), lseek(2) with SEEK_DATA and SEEK_HOLE, link(2), mknod(2).
//
// Read apply.go first.
package vfs
