// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// This file is the same in the steps that put folders on top of each other: it makes two layers, and shows what is in one.

// stack is a folder with two layers in it, and with room for a third that takes the changes.
type stack struct{ dir string }

// layers are the names of the two, the lower first.
func layers() []string { return []string{"layer1", "layer2"} }

// path is that of something in the stack.
func (s stack) path(names ...string) string {
	return filepath.Join(append([]string{s.dir}, names...)...)
}

// newStack makes a stack in a folder, or takes one that is there. Without a given folder it makes a temporary one, and remove takes
// that away again.
func newStack(given string) (s stack, remove func(), err error) {
	remove = func() {}
	if given == "" {
		if given, err = os.MkdirTemp("", "stave-stack"); err != nil {
			return s, remove, err
		}
		remove = func() {
			os.Chmod(filepath.Join(given, "work/work"), 0o700) // overlay makes a folder there that nobody may read, not even its owner
			os.RemoveAll(given)
		}
	}
	if s.dir, err = filepath.Abs(given); err == nil {
		err = s.fill()
	}
	if err != nil {
		remove()
	}
	return s, remove, err
}

// fill makes the layers, if they are not there: a small root folder, and one with more files and a whiteout for a file of the first.
func (s stack) fill() error {
	if _, err := os.Stat(s.path("layer2")); err == nil {
		return nil
	}
	err := errors.Join(os.MkdirAll(s.dir, 0o755), os.Chmod(s.dir, 0o755))
	if err != nil {
		return err
	}
	root, remove, err := rootFolder("")
	if err != nil {
		return err
	}
	if err := os.CopyFS(s.path("layer1"), os.DirFS(root)); err != nil {
		remove()
		return err
	}
	remove()
	for _, name := range []string{"layer1/etc/motd", "layer2/srv/one", "layer2/srv/two", "layer2/srv/dir/three", "layer2/srv/dir/four", "layer2/srv/old/five"} {
		err = errors.Join(err, os.MkdirAll(s.path(filepath.Dir(name)), 0o755), os.WriteFile(s.path(name), []byte("I am "+name+"\n"), 0o644))
	}
	return errors.Join(err, os.Mkdir(s.path("layer2/etc"), 0o755), unix.Mknod(s.path("layer2/etc/motd"), unix.S_IFCHR, 0))
}

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

// prefix starts the names of overlay's attributes. Attributes called trusted are for root alone.
func prefix() string {
	if os.Geteuid() == 0 {
		return "trusted.overlay."
	}
	return "user.overlay."
}
