// SPDX-License-Identifier: Apache-2.0

package vfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// Options say how a layer is put on a tree.
type Options struct {
	// UserXattr takes overlay's marks by the names that an ordinary user may set.
	UserXattr bool
	// Link makes files second names of the layer's own, where it can: for a tree that nobody writes to.
	Link bool
}

// Apply puts an unpacked layer on top of a tree, which nobody else may use meanwhile.
func Apply(ctx context.Context, layer, tree string, o Options) error {
	a := applier{layer: layer, tree: tree, options: o, linked: map[uint64]string{}}
	if err := a.directory(ctx, "."); err != nil {
		return fmt.Errorf("copy layer %s to %s: %w", layer, tree, err)
	}
	return nil
}

// applier copies one layer.
type applier struct {
	layer, tree string
	options     Options
	linked      map[uint64]string // by inode number: the first copy of a file with several names
}

// directory puts a directory of the layer on one that is there. Its attributes come last, for each new file changes its times.
func (a *applier) directory(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from, to := filepath.Join(a.layer, name), filepath.Join(a.tree, name)
	if unionfs.Opaque(from, a.options.UserXattr) {
		if err := empty(to); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := a.entry(ctx, filepath.Join(name, entry.Name())); err != nil {
			return err
		}
	}
	return unionfs.CopyAttributes(from, to)
}

// empty removes what is in a directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// entry puts one file of the layer in the place of what is there. Only a directory joins another one.
func (a *applier) entry(ctx context.Context, name string) error {
	from, to := filepath.Join(a.layer, name), filepath.Join(a.tree, name)
	var file, there unix.Stat_t
	if err := unix.Lstat(from, &file); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	err := unix.Lstat(to, &there)
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("stat %s: %w", to, err)
	}
	joins := err == nil && isDir(file) && isDir(there)
	if err == nil && !joins {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	switch {
	case whiteout(file):
		return nil
	case joins:
		return a.directory(ctx, name)
	case isDir(file):
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return a.directory(ctx, name)
	}
	return a.file(ctx, from, to, file)
}

// isDir says whether a file is a directory.
func isDir(s unix.Stat_t) bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// whiteout says whether a file is overlay's mark of a deleted one: a character device 0:0.
func whiteout(s unix.Stat_t) bool { return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == 0 }

// file copies what is no directory. Names of one file stay that.
func (a *applier) file(ctx context.Context, from, to string, stat unix.Stat_t) error {
	if first, found := a.linked[stat.Ino]; found && stat.Nlink > 1 {
		return os.Link(first, to)
	}
	a.linked[stat.Ino] = to
	if a.options.Link {
		err := os.Link(from, to)
		if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EMLINK) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if err := a.content(ctx, from, to, stat); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return unionfs.CopyAttributes(from, to)
}

// content makes the copy, without attributes.
func (a *applier) content(ctx context.Context, from, to string, stat unix.Stat_t) error {
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return copyFile(ctx, from, to, stat.Size)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case unix.S_IFSOCK:
		return errors.New("a layer has no sockets")
	}
	return unix.Mknod(to, stat.Mode&unix.S_IFMT|0o600, int(stat.Rdev))
}
