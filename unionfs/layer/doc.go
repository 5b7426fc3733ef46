// SPDX-License-Identifier: Apache-2.0

// Package layer turns the tar archives of image layers into folders, and folders into such archives.
//
// An archive marks what a layer deletes with entries whose names start with ".wh." (image-spec, layer.md, "Whiteouts"); a
// folder marks it as overlay wants it: a character device 0:0 in place of the deleted file, and the extended attribute
// overlay.opaque on a directory that hides the one below it (Documentation/filesystems/overlayfs.rst). [Unpack] translates one
// way, [Pack] the other; [Diff] makes the archive from two trees; [Changes] and [Compare] only list what differs.
//
// An archive is hostile until it is unpacked. No entry can touch a file outside the folder: each is made relative to the descriptor
// of its parent directory, which openat2(2) has looked up with RESOLVE_BENEATH. Only then come the attributes: first the
// owner, since chown(2) takes away setuid bits and capabilities, then mode, extended attributes and times; those of directories
// when all is unpacked, for a new file in them changes their times.
//
// The bytes go through three goroutines: one reads (and so decompresses), one computes the diff ID, one writes files.
//
// Not kept are sockets, which no archive can hold, inode flags (chattr(1)), birth times, and the labels of SELinux, which are the
// host's. Times of access are set if the archive has them, and are never packed: then packing again gives the same bytes.
//
// Read unpack.go first.
package layer
