// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// upper tells whether the topmost part of a node is in the writable layer.
func (w *walk) upper(n *node) bool { return w.writable && len(n.parts) > 0 && n.parts[0].depth == 0 }

// copyUp makes sure that a node is in the upper folder, where it may be changed: it copies what the union shows of it, after the folders
// that lead to it. Of a folder only itself is copied; what is in it goes on coming from below.
func (w *walk) copyUp(n *node) error {
	if w.upper(n) {
		return nil
	}
	if err := w.copyUp(n.parent); err != nil {
		return err
	}
	w.trace("  copy up %s from %s", n.path(), w.layers[n.parts[0].depth].name)
	parent := n.parent.parts[0]
	times := timesOf(parent.info)
	err := w.aside(func(dir *os.File) error {
		copied, err := copyNode(n.parts[0], dir, w.Union)
		if err != nil {
			return err
		}
		defer copied.Close()
		return w.settle(dir, n)
	})
	if err != nil {
		return err
	}
	if err := setTimes(parent.file, times); err != nil { // to its users the folder has not changed
		return err
	}
	p, err := w.openPart(parent, n.name)
	if err != nil {
		return err
	}
	if n.info().IsDir() {
		n.parts = append([]part{p}, n.parts...)
	} else {
		n.parts = []part{p}
	}
	return nil
}

// copyNode copies one file, folder, link or device, with all that describes it, to the name fresh of a folder.
func copyNode(from part, dir *os.File, u *Union) (*os.File, error) {
	stat := from.info.Sys().(*syscall.Stat_t)
	if err := makeLike(from, dir, stat); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(dir.Fd()), fresh, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	copied := os.NewFile(uintptr(fd), fresh)
	if err := u.describe(from, copied, stat); err != nil {
		copied.Close()
		return nil, err
	}
	return copied, nil
}

// makeLike makes something of the same type with the same content.
func makeLike(from part, dir *os.File, stat *syscall.Stat_t) error {
	at := int(dir.Fd())
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyContent(from, at, stat.Size)
	case unix.S_IFDIR:
		return unix.Mkdirat(at, fresh, 0o700)
	case unix.S_IFLNK:
		target, err := readlink(from.file)
		if err != nil {
			return err
		}
		return unix.Symlinkat(target, at, fresh)
	}
	return unix.Mknodat(at, fresh, stat.Mode&unix.S_IFMT|0o600, int(stat.Rdev))
}

// copyContent copies the bytes of a file, and leaves its holes holes. They are on the disk before the rename that makes them visible.
func copyContent(from part, dir int, size int64) error {
	source, err := from.open(unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer source.Close()
	fd, err := unix.Openat(dir, fresh, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	target := os.NewFile(uintptr(fd), fresh)
	defer target.Close()
	for end := int64(0); ; {
		data, err := unix.Seek(int(source.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // none is left
			break
		}
		if err != nil {
			return err
		}
		if end, err = unix.Seek(int(source.Fd()), data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := copyRange(target, source, data, end-data); err != nil {
			return err
		}
	}
	if err := target.Truncate(size); err != nil { // a hole at the end
		return err
	}
	return target.Sync()
}

// copyRange copies bytes to the same place of another file.
func copyRange(target, source *os.File, offset, length int64) error {
	for _, file := range []*os.File{target, source} {
		if _, err := file.Seek(offset, io.SeekStart); err != nil {
			return err
		}
	}
	_, err := io.CopyN(target, source, length)
	return err
}

// describe gives a copy the owner, mode, attributes and times of the original. The order is forced: a new owner takes the set-user-ID bit and the file
// capabilities away, and whatever is changed changes the times.
func (u *Union) describe(from part, copied *os.File, stat *syscall.Stat_t) error {
	if err := unix.Fchownat(int(copied.Fd()), "", int(stat.Uid), int(stat.Gid), unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK { // a link's mode means nothing
		if err := unix.Chmod(self(copied), stat.Mode&0o7777); err != nil {
			return err
		}
	}
	if err := u.copyAttributes(from.file, copied); err != nil {
		return err
	}
	return setTimes(copied, timesOf(from.info))
}

// timesOf are the times of the last access and the last change of the content.
func timesOf(info os.FileInfo) []unix.Timespec {
	stat := info.Sys().(*syscall.Stat_t)
	return []unix.Timespec{unix.Timespec(stat.Atim), unix.Timespec(stat.Mtim)}
}

// setTimes sets both.
func setTimes(file *os.File, times []unix.Timespec) error {
	return unix.UtimesNanoAt(int(file.Fd()), "", times, unix.AT_EMPTY_PATH)
}
