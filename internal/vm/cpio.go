// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
)

// The file types of a mode, see inode(7).
const (
	modeFolder    = 0o040000
	modeCharacter = 0o020000
	modeRegular   = 0o100000
)

// archive is a cpio archive in the form "newc", of which an initramfs is made
// (Documentation/driver-api/early-userspace/buffer-format.rst). The header of each file is text:
//
//	070701 00000001 000041ED 00000000 00000000 00000001 00000000 00000000
//	magic  inode    mode     uid      gid      links    mtime    size
//	       00000000 00000000 00000005 00000001 00000004 00000000
//	       dev, major and minor  rdev, major and minor  length of the name and its NUL  checksum
//
// The name and the content follow, each filled up with zeros to a multiple of four bytes.
type archive struct {
	buffer bytes.Buffer
	inode  int
}

// header adds a header with its name.
func (a *archive) header(name string, mode, size, major, minor int) {
	a.inode++
	a.buffer.WriteString("070701")
	for _, field := range []int{a.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name) + 1, 0} {
		fmt.Fprintf(&a.buffer, "%08X", field)
	}
	a.buffer.WriteString(name + "\x00")
	a.pad()
}

// pad fills up to a multiple of four.
func (a *archive) pad() { a.buffer.Write(make([]byte, -a.buffer.Len()&3)) }

// folder adds a folder.
func (a *archive) folder(name string) { a.header(name, modeFolder|0o755, 0, 0, 0) }

// character adds a device.
func (a *archive) character(name string, major, minor int) {
	a.header(name, modeCharacter|0o600, 0, major, minor)
}

// file adds a regular file.
func (a *archive) file(name string, mode int, content []byte) {
	a.header(name, modeRegular|mode, len(content), 0, 0)
	a.buffer.Write(content)
	a.pad()
}

// bytes ends the archive and returns it.
func (a *archive) bytes() []byte {
	a.header("TRAILER!!!", 0, 0, 0, 0)
	return a.buffer.Bytes()
}
