// SPDX-License-Identifier: Apache-2.0

package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stave/unionfs"
	"stave/unionfs/layer"
)

// Driver copies the layers to "merged" in the container's folder, which is its root.
type Driver struct {
	// UserXattr takes overlay's marks by the names that an ordinary user may set.
	UserXattr bool
}

// Name is vfs.
func (Driver) Name() string { return "vfs" }

// Supported is nil: there is no file system that can't do this.
func (Driver) Supported(string) error { return nil }

// Prepare copies the layers, unless that is done.
func (d Driver) Prepare(ctx context.Context, s unionfs.Stack) (unionfs.Root, error) {
	path := filepath.Join(s.Dir, "merged")
	if err := unionfs.Appear(path, func(temp string) error { return d.fill(ctx, s, temp, false) }); err != nil {
		return unionfs.Root{}, fmt.Errorf("vfs: %w", err)
	}
	return unionfs.PlainRoot(path, s.ReadOnly), nil
}

// fill puts the layers into a new folder, the lowest first.
func (d Driver) fill(ctx context.Context, s unionfs.Stack, dir string, link bool) error {
	for _, l := range s.Layers {
		if err := Apply(ctx, l.Path, dir, Options{UserXattr: d.UserXattr, Link: link}); err != nil {
			return err
		}
	}
	return nil
}

// View is the folder itself; of a read-only stack, a new folder in which the layers' files have second names.
func (d Driver) View(ctx context.Context, s unionfs.Stack) (string, func() error, error) {
	if !s.ReadOnly {
		path := filepath.Join(s.Dir, "merged")
		_, err := os.Stat(path)
		return path, func() error { return nil }, err
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "views"), 0o700); err != nil {
		return "", nil, fmt.Errorf("vfs: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Join(s.Dir, "views"), "view")
	if err != nil {
		return "", nil, fmt.Errorf("vfs: %w", err)
	}
	done := func() error { return os.RemoveAll(dir) }
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, errors.Join(err, done())
	}
	if err := d.fill(ctx, s, dir, true); err != nil {
		return "", nil, errors.Join(err, done())
	}
	return dir, done, nil
}

// Changes compares the layers with what is in the folder now, byte by byte: a file that was written may have the size and the time that
// it had.
func (d Driver) Changes(ctx context.Context, s unionfs.Stack, w io.Writer) (err error) {
	if s.ReadOnly {
		return fmt.Errorf("vfs: %s: a read-only root has no changes", s.Dir)
	}
	below := s
	below.ReadOnly = true
	old, done, err := d.View(ctx, below)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return layer.Diff(ctx, w, old, filepath.Join(s.Dir, "merged"), layer.Options{UserXattr: d.UserXattr})
}

// Remove removes the folder.
func (Driver) Remove(_ context.Context, s unionfs.Stack) error {
	return unionfs.RemoveFolders(s.Dir, "merged", "views")
}
