// SPDX-License-Identifier: Apache-2.0

package fuse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"stave/unionfs"
	"stave/unionfs/layer"
)

// Driver runs fuse-overlayfs.
type Driver struct {
	// Program is fuse-overlayfs, or its path; the default is the one in PATH.
	Program string
	// UserXattr takes overlay's marks by the names that an ordinary user may set.
	UserXattr bool
}

// Name is fuse-overlayfs.
func (Driver) Name() string { return "fuse-overlayfs" }

// Supported mounts a small union in a folder and takes it away.
func (d Driver) Supported(dir string) error {
	return unionfs.Try(d, dir, func(s unionfs.Stack) error {
		_, err := d.Prepare(context.Background(), s)
		return err
	})
}

// Upper is the upper folder.
func (Driver) Upper(s unionfs.Stack) (unionfs.Layer, bool) { return unionfs.Overlay{}.Upper(s) }

// Prepare makes the folders and mounts, unless that is done and the server lives.
func (d Driver) Prepare(ctx context.Context, s unionfs.Stack) (unionfs.Root, error) {
	u := d.union(s)
	if err := u.makeFolders(ctx, s); err != nil {
		return unionfs.Root{}, err
	}
	mounted, err := alive(u.point)
	if err != nil {
		return unionfs.Root{}, fmt.Errorf("fuse-overlayfs: %w", err)
	}
	if !mounted {
		if err := u.mount(ctx, d.Program); err != nil {
			return unionfs.Root{}, err
		}
	}
	return unionfs.PlainRoot(u.point, s.ReadOnly), nil
}

// View is the mount that Prepare made; of a read-only stack, one more of its own.
func (d Driver) View(ctx context.Context, s unionfs.Stack) (string, func() error, error) {
	if !s.ReadOnly {
		root, err := d.Prepare(ctx, s)
		return root.Path, func() error { return nil }, err
	}
	views := filepath.Join(s.Dir, "views")
	if err := os.MkdirAll(views, 0o700); err != nil {
		return "", nil, fmt.Errorf("fuse-overlayfs: %w", err)
	}
	temp, err := os.MkdirTemp(views, "view")
	if err != nil {
		return "", nil, fmt.Errorf("fuse-overlayfs: %w", err)
	}
	u := d.union(s)
	u.point = filepath.Join(temp, "root")
	done := func() error { return errors.Join(unmount(u.point), os.RemoveAll(temp)) }
	err = os.Mkdir(u.point, 0o755)
	if err == nil {
		err = u.mount(ctx, d.Program)
	}
	if err != nil {
		return "", nil, errors.Join(err, done())
	}
	return u.point, done, nil
}

// Changes compares the layers with the mount, byte by byte. A container of an ordinary user may run and have its mount where this process
// does not see it: without a mount here, the upper folder is looked at through one that only reads.
func (d Driver) Changes(ctx context.Context, s unionfs.Stack, w io.Writer) (err error) {
	if s.ReadOnly {
		return fmt.Errorf("fuse-overlayfs: %s: a read-only root has no changes", s.Dir)
	}
	below := s
	below.ReadOnly = true
	old, done, err := d.View(ctx, below)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	now := filepath.Join(s.Dir, "merged")
	mounted, err := alive(now)
	if err != nil {
		return fmt.Errorf("fuse-overlayfs: %w", err)
	}
	if !mounted {
		upper, _ := d.Upper(s)
		below.Layers = append(slices.Clone(s.Layers), upper)
		path, done, err := d.View(ctx, below)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
		now = path
	}
	return layer.Diff(ctx, w, old, now, layer.Options{UserXattr: d.UserXattr})
}

// Rest ends the mount of a container that has ended; the next Prepare or View mounts again.
func (Driver) Rest(s unionfs.Stack) error {
	if err := unmount(filepath.Join(s.Dir, "merged")); err != nil {
		return fmt.Errorf("fuse-overlayfs: %w", err)
	}
	return nil
}

// Remove ends the mounts, and with them their servers, and removes the folders.
func (d Driver) Remove(ctx context.Context, s unionfs.Stack) error {
	views, err := filepath.Glob(filepath.Join(s.Dir, "views", "*", "root"))
	if err != nil {
		return err
	}
	for _, point := range append(views, filepath.Join(s.Dir, "merged")) {
		if err := unmount(point); err != nil {
			return fmt.Errorf("fuse-overlayfs: %w", err)
		}
	}
	return errors.Join(unionfs.RemoveFolders(s.Dir, "views"), unionfs.Overlay{}.Remove(ctx, s))
}
