// SPDX-License-Identifier: Apache-2.0

package union

import (
	"time"

	"golang.org/x/sys/unix"
)

// Chmod is chmod(2): it follows a symbolic link.
func (u *Union) Chmod(name string, mode uint32) error {
	return u.set("chmod", name, true, func(n *node) error { return unix.Chmod(self(n.parts[0].file), mode) })
}

// Chown is lchown(2): it does not follow a symbolic link. A user or group of -1 stays.
func (u *Union) Chown(name string, user, group int) error {
	return u.set("chown", name, false, func(n *node) error {
		return unix.Fchownat(int(n.parts[0].file.Fd()), "", user, group, unix.AT_EMPTY_PATH)
	})
}

// Chtimes sets the times of the last access and the last change of the content, of a symbolic link itself.
func (u *Union) Chtimes(name string, access, change time.Time) error {
	return u.set("chtimes", name, false, func(n *node) error {
		var times []unix.Timespec
		for _, t := range []time.Time{access, change} {
			spec, err := unix.TimeToTimespec(t)
			if err != nil {
				return err
			}
			times = append(times, spec)
		}
		return setTimes(n.parts[0].file, times)
	})
}

// Truncate is truncate(2).
func (u *Union) Truncate(name string, size int64) error {
	return u.change("truncate", name, func(w *walk) error {
		n, err := w.resolve(name, true)
		if err != nil {
			return err
		}
		switch mode := n.info().Mode(); {
		case mode.IsDir():
			return unix.EISDIR
		case !mode.IsRegular() || size < 0:
			return unix.EINVAL
		}
		if err := w.copyUp(n); err != nil {
			return err
		}
		file, err := n.parts[0].open(unix.O_WRONLY)
		if err != nil {
			return err
		}
		defer file.Close()
		return file.Truncate(size)
	})
}

// set copies up what a name leads to, and changes it.
func (u *Union) set(op, name string, follow bool, change func(*node) error) error {
	return u.change(op, name, func(w *walk) error {
		n, err := w.resolve(name, follow)
		if err != nil {
			return err
		}
		if err := w.copyUp(n); err != nil {
			return err
		}
		w.trace("  %s upper %s", op, n.path())
		return change(n)
	})
}
