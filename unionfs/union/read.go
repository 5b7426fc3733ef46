// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Union is a file system as io/fs has it, for all that reads one.
var (
	_ fs.ReadDirFS  = (*Union)(nil)
	_ fs.ReadLinkFS = (*Union)(nil)
	_ fs.StatFS     = (*Union)(nil)
)

// Lstat describes what a name leads to, without following a symbolic link at its end. What Sys returns is a *syscall.Stat_t.
func (u *Union) Lstat(name string) (fs.FileInfo, error) { return u.stat("lstat", name, false) }

// Stat is Lstat of what a symbolic link leads to.
func (u *Union) Stat(name string) (fs.FileInfo, error) { return u.stat("stat", name, true) }

// stat is lstat(2) or stat(2).
func (u *Union) stat(op, name string, follow bool) (info fs.FileInfo, err error) {
	err = u.read(op, name, func(w *walk) error {
		n, err := w.resolve(name, follow)
		if err == nil {
			info = n.info()
		}
		return err
	})
	return info, err
}

// ReadLink returns the target of a symbolic link. What it leads to is not looked at.
func (u *Union) ReadLink(name string) (target string, err error) {
	err = u.read("readlink", name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err != nil {
			return err
		}
		if n.info().Mode()&fs.ModeSymlink == 0 {
			return unix.EINVAL
		}
		target, err = readlink(n.parts[0].file)
		return err
	})
	return target, err
}

// ReadDir lists a folder: the names of all its parts, without those that a whiteout covers, in order.
func (u *Union) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = u.read("readdir", name, func(w *walk) error {
		n, err := w.resolve(name, true)
		if err == nil {
			entries, err = w.list(n)
		}
		return err
	})
	return entries, err
}

// list looks up every name that any part of a folder has, which leaves out those that are hidden.
func (w *walk) list(dir *node) ([]fs.DirEntry, error) {
	if !dir.info().IsDir() {
		return nil, unix.ENOTDIR
	}
	names := map[string]bool{}
	for _, p := range dir.parts {
		own, err := readNames(p)
		if err != nil {
			return nil, err
		}
		w.trace("  list %s in %s: %d names", dir.path(), w.layers[p.depth].name, len(own))
		for _, name := range own {
			names[name] = true
		}
	}
	var entries []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(names)) {
		each := w.walk() // its own, or a large folder would take all descriptors
		n, err := each.lookup(dir, name)
		each.end()
		if err == nil {
			entries = append(entries, fs.FileInfoToDirEntry(n.info()))
		} else if !errors.Is(err, unix.ENOENT) {
			return nil, err
		}
	}
	return entries, nil
}

// readNames lists one part of a folder.
func readNames(p part) ([]string, error) {
	fd, err := unix.Openat(int(p.file.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	folder := os.NewFile(uintptr(fd), p.file.Name())
	defer folder.Close()
	return folder.Readdirnames(-1)
}

// Open opens a file or folder for reading. A file is an *os.File; a folder is an [fs.ReadDirFile].
func (u *Union) Open(name string) (file fs.File, err error) {
	err = u.read("open", name, func(w *walk) error {
		n, err := w.resolve(name, true)
		if err != nil {
			return err
		}
		if !n.info().IsDir() {
			file, err = n.parts[0].open(unix.O_RDONLY)
			return err
		}
		entries, err := w.list(n)
		file = &folder{name: name, info: n.info(), entries: entries}
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

// open opens a file of a layer. What is no file is not opened: a device can act on that, and a pipe waits.
func (p part) open(flags int) (*os.File, error) {
	switch mode := p.info.Mode(); {
	case mode.IsDir():
		return nil, unix.EISDIR
	case mode&fs.ModeSymlink != 0:
		return nil, unix.ELOOP
	case !mode.IsRegular():
		return nil, unix.ENXIO
	}
	fd, err := unix.Open(self(p.file), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.file.Name()), nil
}

// folder is an open folder of the union, with what was in it when it was opened.
type folder struct {
	name    string
	info    fs.FileInfo
	entries []fs.DirEntry
}

// Stat describes the folder.
func (f *folder) Stat() (fs.FileInfo, error) { return f.info, nil }

// Read is an error: a folder has no bytes.
func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: unix.EISDIR}
}

// Close does nothing.
func (f *folder) Close() error { return nil }

// ReadDir returns the next n entries, or all that are left if n is not positive.
func (f *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(f.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(f.entries) {
		n = len(f.entries)
	}
	next := f.entries[:n:n]
	f.entries = f.entries[n:]
	return next, nil
}
