// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// This file is the same in the steps that look at an upper folder.

// show prints what a folder of a stack has, and what overlay makes of it.
func (s stack) show(w io.Writer, name string) error {
	root := s.path(name)
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			inside, _ := filepath.Rel(root, path)
			fmt.Fprintf(w, "  %-11s %-16s %s\n", info.Mode(), inside, kind(path, info))
		}
		return err
	})
}

// kind says what overlay makes of a file of an upper folder.
func kind(path string, info fs.FileInfo) string {
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0:
		return "a whiteout: nothing is to be seen here"
	case !info.IsDir():
		return "instead of what is below, if anything is"
	case opaque(path):
		return "opaque: instead of the folders below"
	}
	return "together with the folders below"
}

// opaque reads the mark of a folder that hides those below.
func opaque(path string) bool {
	value := make([]byte, 1)
	n, err := unix.Lgetxattr(path, prefix()+"opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}
