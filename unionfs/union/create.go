// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenFile is open(2): flags are its O_ constants, and perm is the mode of a file that O_CREAT makes. What is opened for writing is copied up
// first. Folders are for [Union.Open].
func (u *Union) OpenFile(name string, flags int, perm uint32) (file *os.File, err error) {
	do, open := u.read, func(w *walk) error {
		w.creates = flags&unix.O_CREAT != 0
		n, exists, err := w.place(name, flags&unix.O_NOFOLLOW == 0 && flags&(unix.O_CREAT|unix.O_EXCL) != unix.O_CREAT|unix.O_EXCL)
		if err == nil {
			file, err = w.openFile(n, exists, flags, perm)
		}
		return err
	}
	if flags&(unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC) != unix.O_RDONLY {
		do = u.change
	}
	err = do("open", name, open)
	return file, err
}

// openFile opens what is there, or makes it.
func (w *walk) openFile(n *node, exists bool, flags int, perm uint32) (*os.File, error) {
	switch {
	case !exists && flags&unix.O_CREAT == 0:
		return nil, unix.ENOENT
	case !exists:
		return w.createFile(n, flags, perm)
	case flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL:
		return nil, unix.EEXIST
	case flags&unix.O_CREAT != 0 && n.info().IsDir():
		return nil, unix.EISDIR
	case n.info().Mode().IsRegular() && flags&(unix.O_ACCMODE|unix.O_TRUNC) != unix.O_RDONLY:
		if err := w.copyUp(n); err != nil {
			return nil, err
		}
	}
	return n.parts[0].open(flags &^ (unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW))
}

// createFile makes a file and opens it.
func (w *walk) createFile(n *node, flags int, perm uint32) (file *os.File, err error) {
	err = w.create(n, func(dir *os.File) error {
		fd, err := unix.Openat(int(dir.Fd()), fresh, flags|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, perm)
		if err == nil {
			file = os.NewFile(uintptr(fd), n.name)
		}
		return err
	})
	if err != nil && file != nil {
		file.Close()
		file = nil
	}
	return file, err
}

// Mkdir is mkdir(2).
func (u *Union) Mkdir(name string, mode uint32) error {
	return u.change("mkdir", name, func(w *walk) error {
		return w.createNew(name, func(dir *os.File, opaque bool) error {
			if err := unix.Mkdirat(int(dir.Fd()), fresh, mode); err != nil || !opaque {
				return err
			}
			return w.setOpaque(int(dir.Fd()), fresh)
		})
	})
}

// Symlink is symlink(2).
func (u *Union) Symlink(target, name string) error {
	return u.change("symlink", name, func(w *walk) error {
		return w.createNew(name, func(dir *os.File, _ bool) error {
			return unix.Symlinkat(target, int(dir.Fd()), fresh)
		})
	})
}

// Mknod is mknod(2). The device 0:0 can't be made: it would be a whiteout.
func (u *Union) Mknod(name string, mode uint32, device uint64) error {
	return u.change("mknod", name, func(w *walk) error {
		return w.createNew(name, func(dir *os.File, _ bool) error {
			if mode&unix.S_IFMT == unix.S_IFCHR && device == 0 {
				return unix.EPERM
			}
			return unix.Mknodat(int(dir.Fd()), fresh, mode, int(device))
		})
	})
}

// Link is link(2): it does not follow a symbolic link. What gets a second name is copied up, and loses those it had below.
func (u *Union) Link(from, to string) error {
	return u.change("link", to, func(w *walk) error {
		old, err := w.resolve(from, false)
		if err != nil {
			return err
		}
		n, exists, err := w.place(to, false)
		switch {
		case err != nil:
			return err
		case exists:
			return unix.EEXIST
		case old.info().IsDir():
			return unix.EPERM
		}
		if err := errors.Join(w.copyUp(old), w.copyUp(n.parent)); err != nil {
			return err
		}
		return w.aside(func(dir *os.File) error {
			if err := unix.Linkat(int(old.parent.parts[0].file.Fd()), old.name, int(dir.Fd()), fresh, 0); err != nil {
				return err
			}
			return w.settle(dir, n)
		})
	})
}

// createNew makes something under a name that must be free. A folder that takes the place of a whiteout is to be opaque, since it
// takes away what hid the layers below.
func (w *walk) createNew(name string, make func(dir *os.File, opaque bool) error) error {
	n, exists, err := w.place(name, false)
	if err != nil {
		return err
	}
	if exists {
		return unix.EEXIST
	}
	return w.create(n, func(dir *os.File) error { return make(dir, w.covered(n)) })
}

// create makes something new in the upper folder, whole or not at all.
func (w *walk) create(n *node, make func(dir *os.File) error) error {
	if err := w.copyUp(n.parent); err != nil {
		return err
	}
	return w.aside(func(dir *os.File) error {
		if err := inherit(n.parent.parts[0], dir); err != nil {
			return err
		}
		w.trace("  make %s in the work folder", n.path())
		if err := make(dir); err != nil {
			return err
		}
		return w.settle(dir, n)
	})
}

// inherit gives a folder what the kernel hands down from a folder to what is made in it: the group, if the set-group-ID bit says so, and the
// default access control list (acl(5)).
func inherit(parent part, dir *os.File) error {
	stat := parent.info.Sys().(*syscall.Stat_t)
	if stat.Mode&unix.S_ISGID != 0 {
		if err := dir.Chown(-1, int(stat.Gid)); err != nil {
			return err
		}
		if err := unix.Fchmod(int(dir.Fd()), 0o700|unix.S_ISGID); err != nil {
			return err
		}
	}
	value, err := getxattr(parent.file, defaultACL)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Fsetxattr(int(dir.Fd()), defaultACL, value, 0)
}

// setOpaque marks a folder, named from another: nothing in the layers below shows through it.
func (w *walk) setOpaque(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	folder := os.NewFile(uintptr(fd), name)
	defer folder.Close()
	w.trace("  set %sopaque", w.prefix)
	return unix.Setxattr(self(folder), w.prefix+"opaque", []byte("y"), 0)
}
