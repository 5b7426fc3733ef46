// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Unlink is unlink(2).
func (u *Union) Unlink(name string) error {
	return u.change("unlink", name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err != nil {
			return err
		}
		if n.info().IsDir() {
			return unix.EISDIR
		}
		return w.remove(n)
	})
}

// Rmdir is rmdir(2). A folder is empty when the union shows nothing in it: its part in the upper folder may have whiteouts.
func (u *Union) Rmdir(name string) error {
	return u.change("rmdir", name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err != nil {
			return err
		}
		if n.parent == nil {
			return unix.EBUSY
		}
		if err := w.empty(n); err != nil {
			return err
		}
		return w.remove(n)
	})
}

// empty says what is against removing a folder.
func (w *walk) empty(n *node) error {
	entries, err := w.list(n)
	if err == nil && len(entries) > 0 {
		err = unix.ENOTEMPTY
	}
	return err
}

// remove takes a node out of the upper folder, and leaves a whiteout where a lower layer has something of that name. The kernel can do both
// at once.
func (w *walk) remove(n *node) error {
	below, err := w.below(n)
	if err != nil {
		return err
	}
	if err := w.copyUp(n.parent); err != nil {
		return err
	}
	parent := int(n.parent.parts[0].file.Fd())
	if !w.upper(n) {
		w.trace("  make a whiteout for %s", n.path())
		return unix.Mknodat(parent, n.name, unix.S_IFCHR, 0)
	}
	flags := 0
	if below {
		flags = unix.RENAME_WHITEOUT
		w.trace("  leave a whiteout for %s", n.path())
	}
	return w.aside(func(dir *os.File) error {
		return unix.Renameat2(parent, n.name, int(dir.Fd()), fresh, uint(flags))
	})
}

// below tells whether a layer under the upper one has something of the name of a node.
func (w *walk) below(n *node) (bool, error) {
	folders := n.parent.parts
	if w.upper(n.parent) {
		folders = folders[1:]
	}
	_, err := w.find(folders, n.name, new([]string))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}
