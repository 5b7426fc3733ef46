// SPDX-License-Identifier: Apache-2.0

// Package btrfs makes a root file system as a snapshot, where layers and containers are on one btrfs.
//
// A subvolume is a tree of its own in a btrfs, and a snapshot is a subvolume that starts as another one: it shares all blocks until one
// of the two changes some. So each layer gets a subvolume beside its files: a snapshot of that of the layer below, on which the
// layer's files are put (their blocks are shared, too, see ioctl_ficlone(2)). A container's root is a snapshot of the top layer's.
//
//	layers/<chain ID>/btrfs      the layer and all below it
//	containers/<id>/merged       the container's root
//
// A layer's subvolume goes with its folder: since Linux 4.18 an empty subvolume is removed like a directory.
//
// A snapshot is as quick for a large image as for a small one, and nothing is mounted. What was written is found by comparing all
// files with those of the top layer's subvolume.
//
// Calls: ioctl(2) with BTRFS_IOC_SUBVOL_CREATE, BTRFS_IOC_SNAP_CREATE and BTRFS_IOC_SNAP_DESTROY (include/uapi/linux/btrfs.h).
//
// Read driver.go first.
package btrfs
