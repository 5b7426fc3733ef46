// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Kind is what happened to a file, in the letters of `docker diff`.
type Kind byte

// The kinds of changes.
const (
	Added   Kind = 'A'
	Changed Kind = 'C'
	Deleted Kind = 'D'
)

// String is the kind's letter.
func (k Kind) String() string { return string(rune(k)) }

// Change is one line of `docker diff`.
type Change struct {
	Kind Kind
	// Path is absolute, as seen in the container: "/etc/passwd".
	Path string
}

// String is the line.
func (c Change) String() string { return c.Kind.String() + " " + c.Path }

// changes is a list in the making.
type changes struct {
	o     Options
	below *view
	upper *tree
	found []Change
}

// Changes lists what the folder upper, which overlay wrote, changes in the folders below it, the lowest first. The directories
// above a change are changed too. The list is sorted by path.
func Changes(ctx context.Context, lowers []string, upper string, o Options) (list []Change, err error) {
	t, err := openTree(upper)
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	below, err := openView(lowers, o)
	if err != nil {
		return nil, fmt.Errorf("list changes: %w", err)
	}
	defer func() { err = errors.Join(err, below.Close()) }()
	c := changes{o: o, below: below, upper: t}
	root, err := t.find("")
	if err == nil {
		err = c.inside(ctx, &root, false)
	}
	if err != nil {
		return nil, fmt.Errorf("list changes in %s: %w", upper, err)
	}
	return withParents(c.found), nil
}

// add notes a change.
func (c *changes) add(kind Kind, path string) {
	c.found = append(c.found, Change{kind, "/" + path})
}

// inside lists what a directory of the upper folder changes. Alone says that a directory above it is opaque: then it is, too.
func (c *changes) inside(ctx context.Context, parent *file, alone bool) error {
	dir, names, err := c.upper.list(parent.path)
	if err != nil {
		return err
	}
	defer closeQuietly(dir)
	alone = alone || parent.opaque(&c.o)
	if alone {
		if err := c.hidden(parent.path, names); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := lookup(dir, name)
		if err == nil {
			err = c.file(ctx, parent, &f, alone)
		}
		if err != nil {
			return named(join(parent.path, name), err)
		}
	}
	return nil
}

// hidden lists as deleted what an opaque directory hides and has no other file for.
func (c *changes) hidden(path string, names []string) error {
	below, err := c.below.names(path)
	if err != nil {
		return err
	}
	for _, name := range below {
		if _, there := slices.BinarySearch(names, name); !there {
			c.add(Deleted, join(path, name))
		}
	}
	return nil
}

// file lists one file of the upper folder. A directory that has the attributes of the one below was copied up for what is in it.
func (c *changes) file(ctx context.Context, parent, f *file, alone bool) error {
	was, there, err := c.below.find(f.path)
	if err != nil {
		return err
	}
	switch {
	case f.whiteout(parent, &c.o):
		if there {
			c.add(Deleted, f.path)
		}
		return nil
	case !there:
		c.add(Added, f.path)
	case !f.isDir() || !was.isDir() || f.opaque(&c.o) || !sameAttributes(&was, f):
		c.add(Changed, f.path)
	}
	if _, moved := f.xattr(c.o.overlay("redirect")); moved && f.isDir() {
		return errors.New("the directory was renamed and the folder has only a reference to its content (redirect_dir): compare the trees instead")
	}
	if f.isDir() {
		return c.inside(ctx, f, alone)
	}
	return nil
}
