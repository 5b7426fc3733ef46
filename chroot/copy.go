// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// copier copies a tree that may be hostile into one that nobody else can reach. The source is read
// through an [os.Root], which no symbolic link leads out of; the new tree is written by path.
type copier struct {
	from *os.Root
	to   string
	// keepTop names what the topmost folder does not take over: "mode", "uid", "gid".
	keepTop map[string]bool
	// links holds where the first name of a file with several was copied to.
	links map[inode]string
}

// inode names a file of the source.
type inode struct{ device, number uint64 }

// all copies everything. Times of folders come last: filling a folder changes them.
func (c *copier) all() error {
	c.links = map[inode]string{}
	folders := map[string]*syscall.Stat_t{}
	err := fs.WalkDir(c.from.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := c.from.Lstat(name)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t) // what os.Root fills in on Linux
		if stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			folders[name] = stat
		}
		if err := c.one(name, stat); err != nil {
			return &fs.PathError{Op: "copy", Path: name, Err: err}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, stat := range folders {
		if err := c.times(name, stat); err != nil {
			return err
		}
	}
	return nil
}

// path is the copy's path. It goes on behind the descriptor's link even for ".": a call that doesn't
// follow links would change the link.
func (c *copier) path(name string) string { return c.to + "/" + name }

// one copies one name: a second name of a file becomes a link.
func (c *copier) one(name string, stat *syscall.Stat_t) error {
	target := c.path(name)
	kind := stat.Mode & unix.S_IFMT
	if kind == unix.S_IFSOCK {
		return nil // nobody listens behind a copy
	}
	if kind != unix.S_IFDIR && stat.Nlink > 1 {
		id := inode{uint64(stat.Dev), stat.Ino}
		if first, ok := c.links[id]; ok {
			return unix.Linkat(unix.AT_FDCWD, first, unix.AT_FDCWD, target, 0)
		}
		c.links[id] = target
	}
	if err := c.make(name, target, stat); err != nil {
		return err
	}
	return c.settle(name, target, stat)
}

// make makes the copy, with the content that it has.
func (c *copier) make(name, target string, stat *syscall.Stat_t) error {
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if name == "." {
			return nil
		}
		return unix.Mkdir(target, 0o700)
	case unix.S_IFLNK:
		to, err := c.from.Readlink(name)
		if err != nil {
			return err
		}
		return unix.Symlink(to, target)
	case unix.S_IFREG:
		return c.content(name, target)
	}
	return unix.Mknod(target, stat.Mode, int(stat.Rdev))
}

// content copies what is in a file. What was a file a moment ago and is a link or a pipe now is
// refused, not followed and not waited for.
func (c *copier) content(name, target string) error {
	from, err := c.from.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

// settle sets owner, mode, extended attributes and times, in this order: a change of the owner takes
// away set-user-ID bits and capabilities.
func (c *copier) settle(name, target string, stat *syscall.Stat_t) error {
	uid, gid := int(stat.Uid), int(stat.Gid)
	top := name == "."
	if top && c.keepTop["uid"] {
		uid = -1
	}
	if top && c.keepTop["gid"] {
		gid = -1
	}
	if err := unix.Lchown(target, uid, gid); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK && !(top && c.keepTop["mode"]) {
		if err := unix.Chmod(target, stat.Mode&0o7777); err != nil {
			return err
		}
	}
	if err := c.xattrs(name, target, stat); err != nil {
		return err
	}
	return c.times(name, stat)
}

// times sets the times of access and change.
func (c *copier) times(name string, stat *syscall.Stat_t) error {
	times := []unix.Timespec{unix.Timespec(stat.Atim), unix.Timespec(stat.Mtim)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, c.path(name), times, unix.AT_SYMLINK_NOFOLLOW)
}

// xattrs copies the extended attributes of a file or folder, so far as a tmpfs takes them: those of
// users only since Linux 6.6.
func (c *copier) xattrs(name, target string, stat *syscall.Stat_t) error {
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return nil
	}
	file, err := c.from.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	names, err := listXattrs(int(file.Fd()))
	if err != nil {
		return err
	}
	for _, name := range names {
		value := make([]byte, maxXattr)
		n, err := unix.Fgetxattr(int(file.Fd()), name, value)
		if err == nil {
			err = unix.Lsetxattr(target, name, value[:n], 0)
		}
		if err != nil && err != unix.EOPNOTSUPP && err != unix.ENODATA {
			return &fs.PathError{Op: "copy the attribute", Path: name, Err: err}
		}
	}
	return nil
}

// maxXattr is the kernel's limit for the value of an attribute and for the list of names (xattr(7)).
const maxXattr = 64 << 10

// listXattrs lists the names of the extended attributes; none where the file system has none.
func listXattrs(file int) ([]string, error) {
	size, err := unix.Flistxattr(file, nil)
	if size == 0 || err == unix.EOPNOTSUPP {
		return nil, nil
	}
	buffer := make([]byte, maxXattr)
	size, err = unix.Flistxattr(file, buffer)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(buffer[:size]), func(r rune) bool { return r == 0 }), nil
}
