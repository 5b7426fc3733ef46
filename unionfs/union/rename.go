// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Rename is rename(2). A folder that has a part in a lower layer can't be renamed: EXDEV.
func (u *Union) Rename(from, to string) error {
	return u.change("rename", from, func(w *walk) error {
		old, exists, err := w.place(from, false)
		if err != nil {
			return err
		}
		n, replaces, err := w.place(to, false)
		if err != nil {
			return err
		}
		if !exists {
			return unix.ENOENT
		}
		if replaces && w.same(old, n) {
			return nil
		}
		if err := w.renamable(old, n, replaces); err != nil {
			return err
		}
		return w.rename(old, n, replaces)
	})
}

// same tells whether two names lead to the same thing: rename(2) does nothing then, also for two hard links.
func (w *walk) same(a, b *node) bool {
	return a.path() == b.path() || w.upper(a) && w.upper(b) && os.SameFile(a.info(), b.info())
}

// renamable says what is against a rename, in the order in which the kernel finds out.
func (w *walk) renamable(old, n *node, replaces bool) error {
	switch {
	case old.parent == nil || n.parent == nil:
		return unix.EBUSY
	case inside(n, old):
		return unix.EINVAL
	case inside(old, n):
		return unix.ENOTEMPTY
	case replaces && old.info().IsDir() && !n.info().IsDir():
		return unix.ENOTDIR
	case replaces && !old.info().IsDir() && n.info().IsDir():
		return unix.EISDIR
	case old.info().IsDir() && !(w.upper(old) && len(old.parts) == 1):
		return unix.EXDEV
	case replaces && n.info().IsDir():
		return w.empty(n)
	}
	return nil
}

// inside tells whether a node is below a folder.
func inside(n, folder *node) bool { return strings.HasPrefix(n.path()+"/", folder.path()+"/") }

// rename does it: copy up what moves, and the folder it moves to; then one rename(2), which leaves a whiteout if a lower layer has something under the
// old name.
func (w *walk) rename(old, n *node, replaces bool) error {
	below, err := w.below(old)
	if err != nil {
		return err
	}
	if err := errors.Join(w.copyUp(old), w.copyUp(n.parent)); err != nil {
		return err
	}
	covered := false
	if old.info().IsDir() {
		if err := w.isolate(old, n); err != nil {
			return err
		}
		covered = !replaces && w.covered(n)
	}
	if replaces && n.info().IsDir() && w.upper(n) {
		if err := w.clear(n); err != nil {
			return err
		}
	}
	return w.move(old, n, below, covered)
}

// isolate makes a folder that moves to where lower layers have a say opaque, so that none of them shows through it there.
func (w *walk) isolate(old, n *node) error {
	if len(n.parent.parts) == 1 || old.parts[0].mark == "y" {
		return nil
	}
	return w.setOpaque(int(old.parent.parts[0].file.Fd()), old.name)
}

// clear puts an empty, opaque copy in the place of a folder that looks empty: the real one may have whiteouts, and rename(2) replaces
// no folder that has anything in it.
func (w *walk) clear(n *node) error {
	return w.aside(func(dir *os.File) error {
		copied, err := copyNode(n.parts[0], dir, w.Union)
		if err != nil {
			return err
		}
		defer copied.Close()
		if err := w.setOpaque(int(dir.Fd()), fresh); err != nil {
			return err
		}
		return unix.Renameat2(int(dir.Fd()), fresh, int(n.parent.parts[0].file.Fd()), n.name, unix.RENAME_EXCHANGE)
	})
}

// move renames in the upper folder. A whiteout in the way of a folder changes places with it, and stays only if it is needed there.
func (w *walk) move(old, n *node, below, covered bool) error {
	flags := 0
	switch {
	case covered:
		flags = unix.RENAME_EXCHANGE
	case below:
		flags = unix.RENAME_WHITEOUT
		w.trace("  leave a whiteout for %s", old.path())
	}
	from, to := int(old.parent.parts[0].file.Fd()), int(n.parent.parts[0].file.Fd())
	w.trace("  rename upper %s to %s", old.path(), n.path())
	if err := unix.Renameat2(from, old.name, to, n.name, uint(flags)); err != nil {
		return err
	}
	if covered && !below {
		return unix.Unlinkat(from, old.name, 0)
	}
	return nil
}
