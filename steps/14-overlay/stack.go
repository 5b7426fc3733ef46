// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// This file is the same in the steps that put folders on top of each other: it makes two layers.

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

// prefix starts the names of overlay's attributes. Attributes called trusted are for root alone.
func prefix() string {
	if os.Geteuid() == 0 {
		return "trusted.overlay."
	}
	return "user.overlay."
}
