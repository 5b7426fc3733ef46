// SPDX-License-Identifier: Apache-2.0

// Package fuse joins layers with fuse-overlayfs, a program that does in user space (fuse(4)) what the kernel's overlay does: for kernels
// that don't let an ordinary user mount an overlay, or file systems that overlay refuses.
//
// The folders are those of [unionfs.Overlay]. The mount is there for all to see, at "merged" in the container's folder, with a
// process that serves it, from Prepare to Rest or Remove. It outlives the process that prepared it, however that ends. When it was
// the server that died, or the machine, the next Prepare mounts anew.
//
// What was written is found by comparing all files with those of the layers, for the upper folder has marks of the program's own.
//
// Read driver.go first.
package fuse
