// SPDX-License-Identifier: Apache-2.0

package union

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// workPrefix starts the names in the work folder.
const workPrefix = "union-"

// fresh is the name of what is made in a folder of the work folder.
const fresh = "new"

// openWork takes the work folder for this union alone, and removes what one that was killed has left.
func (u *Union) openWork(name string) error {
	if name == "" {
		return errors.New("a writable union needs a work folder, in the file system of the upper one")
	}
	var err error
	if u.work, err = os.OpenRoot(name); err != nil {
		return err
	}
	folder, err := u.work.Open(".")
	if err != nil {
		return err
	}
	// The lock belongs to what was opened, and goes when its last descriptor does.
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		folder.Close()
		return fmt.Errorf("work folder %s: another union writes there: %w", name, err)
	}
	u.lock = folder
	names, err := folder.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, workPrefix) {
			err = errors.Join(err, u.work.RemoveAll(name))
		}
	}
	return err
}

// aside makes a folder in the work folder, in which something is made before it appears, or put when it is to disappear. It is
// removed in the end, with all that is left in it.
func (w *walk) aside(do func(dir *os.File) error) (err error) {
	name := workPrefix + strings.ToLower(rand.Text())
	if err := w.work.Mkdir(name, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.work.RemoveAll(name)) }()
	dir, err := w.work.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(dir)
}

// settle moves what was made aside to its place in the upper folder, by one rename. The place is empty or has a whiteout, which no folder
// can overwrite: the two change places then.
func (w *walk) settle(dir *os.File, n *node) error {
	upper := int(n.parent.parts[0].file.Fd())
	var stat unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), fresh, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	flags := 0
	if stat.Mode&unix.S_IFMT == unix.S_IFDIR && w.covered(n) {
		flags = unix.RENAME_EXCHANGE
	}
	w.trace("  rename it from the work folder to upper %s", n.path())
	return unix.Renameat2(int(dir.Fd()), fresh, upper, n.name, uint(flags))
}

// covered tells whether the upper folder has a whiteout in the place of a node.
func (w *walk) covered(n *node) bool {
	p, err := w.openPart(n.parent.parts[0], n.name)
	return err == nil && w.isWhiteout(p)
}

// self is a path that leads to what a descriptor refers to, and nowhere else (proc(5)). Through it one can open and change
// what was opened as a mere reference.
func self(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }
