// SPDX-License-Identifier: Apache-2.0

// Package unionfs makes one root file system of many layers.
//
// A layer is a tar archive of what one step of an image's making changed. Package layer unpacks such archives into folders
// and makes them of folders; [Layers] keeps the folders, one for each chain ID, shared between images; and a [Driver] puts
// folders on top of each other and a writable one on top of all, for a container.
//
// # Layers on disk
//
// An unpacked layer is a plain folder, with overlay's whiteouts in it, whatever driver uses it. It appears whole by one rename, after its
// digest was found right. Who needs layers says so with [Layers.Refer], and [Layers.Collect] removes those that nobody needs. All of that
// are files, folders and links that ls shows; locks are flock(2), which the kernel takes from a process that dies.
//
// # Drivers
//
// [Overlay], here, lets the kernel join the layers when they are looked at: a container starts at once and costs only what it writes. Package
// vfs copies the layers instead, where there is no overlay; package btrfs makes snapshots; package fuse runs fuse-overlayfs. Package
// drivertest has one suite for all of them. Package union is a union file system in Go, to be read.
//
// A driver's root is mounted by calls of the container's own process, in its mount namespace, so that it goes with the container however
// that ends; or it is a folder that is there for all to see.
//
// # System calls and sources
//
// mount(2), fsopen(2), fsconfig(2), fsmount(2), move_mount(2), open_tree(2), flock(2), xattr(7); Documentation/filesystems/overlayfs.rst of
// the kernel; OCI image specification, config.md ("Layer ChainID") and layer.md.
//
// Not here: which layers an image has (package registry), and which container has which (the engine).
//
// Read first: driver.go, overlay.go and overlay_mount.go; then layers.go, unpack.go and record.go.
package unionfs
