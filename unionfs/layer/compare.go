// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Compare lists what makes the tree new of the tree old, sorted by path. The directories above a change are changed too.
func Compare(ctx context.Context, old, new string, o Options) ([]Change, error) {
	changes, _, err := compare(ctx, old, new, o)
	return withParents(changes), err
}

// comparison is of two trees.
type comparison struct {
	o        Options
	old, new *tree
	oldLinks links
	newLinks links
	changes  []Change
	buffers  [2][]byte
}

// compare lists the changes without the directories above them, and the files of the new tree that have several names.
func compare(ctx context.Context, old, new string, o Options) (changes []Change, groups links, err error) {
	c := comparison{o: o, buffers: [2][]byte{make([]byte, blockSize), make([]byte, blockSize)}}
	if c.old, err = openTree(old); err != nil {
		return nil, links{}, fmt.Errorf("compare trees: %w", err)
	}
	defer func() { err = errors.Join(err, c.old.Close()) }()
	if c.new, err = openTree(new); err != nil {
		return nil, links{}, fmt.Errorf("compare trees: %w", err)
	}
	defer func() { err = errors.Join(err, c.new.Close()) }()
	if c.oldLinks, err = findLinks(ctx, c.old); err != nil {
		return nil, links{}, fmt.Errorf("compare trees: %s: %w", old, err)
	}
	if c.newLinks, err = findLinks(ctx, c.new); err != nil {
		return nil, links{}, fmt.Errorf("compare trees: %s: %w", new, err)
	}
	if err := c.directories(ctx, ""); err != nil {
		return nil, links{}, fmt.Errorf("compare %s with %s: %w", new, old, err)
	}
	return c.changes, c.newLinks, nil
}

// add notes a change.
func (c *comparison) add(kind Kind, path string) {
	c.changes = append(c.changes, Change{kind, "/" + path})
}

// directories compares what is in a directory that both trees have.
func (c *comparison) directories(ctx context.Context, path string) error {
	before, oldNames, err := c.old.list(path)
	if err != nil {
		return err
	}
	defer closeQuietly(before)
	after, newNames, err := c.new.list(path)
	if err != nil {
		return err
	}
	defer closeQuietly(after)
	for _, name := range oldNames {
		if _, there := slices.BinarySearch(newNames, name); !there {
			c.add(Deleted, join(path, name))
		}
	}
	for _, name := range newNames {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, both := slices.BinarySearch(oldNames, name)
		err := c.file(ctx, before, after, name, both)
		switch gone := vanished(after, name, err); {
		case gone && both:
			c.add(Deleted, join(path, name))
		case err != nil && !gone:
			return named(join(path, name), err)
		}
	}
	return nil
}

// file compares a file of the new tree with the one of the old tree, if both have it.
func (c *comparison) file(ctx context.Context, before, after place, name string, both bool) error {
	now, err := lookup(after, name)
	if err != nil {
		return err
	}
	if !both {
		return c.added(ctx, &now)
	}
	was, err := lookup(before, name)
	if err != nil {
		return err
	}
	same, err := c.same(before, after, name, &was, &now)
	if err != nil {
		return err
	}
	if !same {
		c.add(Changed, now.path)
	}
	switch {
	case now.isDir() && was.isDir():
		return c.directories(ctx, now.path)
	case now.isDir():
		return c.all(ctx, now.path)
	}
	return nil
}

// added notes a file and all in it as new.
func (c *comparison) added(ctx context.Context, f *file) error {
	c.add(Added, f.path)
	if f.isDir() {
		return c.all(ctx, f.path)
	}
	return nil
}

// all notes all in a directory as new.
func (c *comparison) all(ctx context.Context, path string) error {
	dir, names, err := c.new.list(path)
	if err != nil {
		return err
	}
	defer closeQuietly(dir)
	for _, name := range names {
		f, err := stat(dir, name)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = c.added(ctx, &f)
		}
		if vanished(dir, name, err) {
			continue
		}
		if err != nil {
			return named(join(path, name), err)
		}
	}
	return nil
}

// same says whether two files are the same in all that a layer keeps.
func (c *comparison) same(before, after place, name string, was, now *file) (bool, error) {
	if !sameAttributes(was, now) || c.oldLinks.first(was.path) != c.newLinks.first(now.path) {
		return false, nil
	}
	if was.inode() == now.inode() || c.o.TrustTimes && was.kind() == unix.S_IFREG {
		return true, nil
	}
	switch now.kind() {
	case unix.S_IFREG:
		return c.sameContent(before, after, name)
	case unix.S_IFLNK:
		a, err := readLink(before, name)
		if err != nil {
			return false, err
		}
		b, err := readLink(after, name)
		return a == b, err
	}
	return true, nil
}

// sameAttributes compares all but content, links' targets and what is in directories.
func sameAttributes(a, b *file) bool {
	sized := a.kind() == unix.S_IFREG || a.kind() == unix.S_IFLNK
	return a.Mode == b.Mode && a.Uid == b.Uid && a.Gid == b.Gid && a.Rdev == b.Rdev && a.Mtim == b.Mtim && (!sized || a.Size == b.Size) &&
		slices.EqualFunc(a.ours(), b.ours(), func(x, y xattr) bool { return x.name == y.name && bytes.Equal(x.value, y.value) })
}

// sameContent compares two regular files of one size.
func (c *comparison) sameContent(before, after place, name string) (same bool, err error) {
	var files [2]*os.File
	for i, dir := range []place{before, after} {
		fd, err := unix.Openat(dir.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return false, fmt.Errorf("open: %w", err)
		}
		files[i] = os.NewFile(uintptr(fd), name)
		defer files[i].Close()
	}
	for {
		n, err := io.ReadFull(files[0], c.buffers[0])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, e := io.ReadFull(files[1], c.buffers[1])
		if e != nil && e != io.EOF && e != io.ErrUnexpectedEOF {
			return false, e
		}
		if !bytes.Equal(c.buffers[0][:n], c.buffers[1][:m]) {
			return false, nil
		}
		if err != nil || e != nil {
			return n == m, nil
		}
	}
}
