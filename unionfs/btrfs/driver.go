// SPDX-License-Identifier: Apache-2.0

package btrfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/unionfs"
	"stave/unionfs/layer"
	"stave/unionfs/vfs"
)

// Driver makes snapshots. The layers must be those of a [unionfs.Layers] on the same btrfs as the containers.
type Driver struct {
	// UserXattr takes overlay's marks by the names that an ordinary user may set.
	UserXattr bool
}

// Name is btrfs.
func (Driver) Name() string { return "btrfs" }

// Supported makes a subvolume in a folder and removes it.
func (d Driver) Supported(dir string) error {
	if err := onBtrfs(dir); err != nil {
		return fmt.Errorf("btrfs: %w", err)
	}
	return unionfs.Try(d, dir, func(s unionfs.Stack) error { return create(filepath.Join(s.Dir, "merged")) })
}

// Prepare makes the subvolumes of the layers that have none yet, and the container's snapshot.
func (d Driver) Prepare(ctx context.Context, s unionfs.Stack) (unionfs.Root, error) {
	path := filepath.Join(s.Dir, "merged")
	if _, err := os.Lstat(path); err == nil {
		return unionfs.PlainRoot(path, s.ReadOnly), nil
	}
	below, err := d.image(ctx, s)
	if err != nil {
		return unionfs.Root{}, fmt.Errorf("btrfs: %w", err)
	}
	if err := on(below, path); err != nil { // a snapshot appears whole
		return unionfs.Root{}, fmt.Errorf("btrfs: %w", err)
	}
	return unionfs.PlainRoot(path, s.ReadOnly), nil
}

// on makes a subvolume on another one, or an empty one on nothing.
func on(below, path string) error {
	if below == "" {
		return create(path)
	}
	return snapshot(below, path)
}

// image is the subvolume of all layers together, and empty where there are none.
func (d Driver) image(ctx context.Context, s unionfs.Stack) (below string, err error) {
	for _, l := range s.Layers {
		if below, err = d.layer(ctx, l, below); err != nil {
			return "", err
		}
	}
	return below, nil
}

// layer is the subvolume of a layer and all below. It is made by one process at a time, under another name until it is whole; the lock is
// on the layer's files.
func (d Driver) layer(ctx context.Context, l unionfs.Layer, below string) (string, error) {
	path := filepath.Join(filepath.Dir(l.Path), "btrfs")
	if _, err := os.Lstat(path); err == nil {
		return path, nil
	}
	lock, err := os.Open(l.Path)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	for {
		if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != unix.EINTR {
			if err != nil {
				return "", fmt.Errorf("lock %s: %w", l.Path, err)
			}
			break
		}
	}
	if _, err := os.Lstat(path); err == nil {
		return path, nil
	}
	temp := filepath.Join(filepath.Dir(path), ".btrfs")
	if err := remove(temp); err != nil { // of a process that was killed
		return "", err
	}
	if err := on(below, temp); err != nil {
		return "", err
	}
	if err := vfs.Apply(ctx, l.Path, temp, vfs.Options{UserXattr: d.UserXattr}); err != nil {
		return "", errors.Join(err, remove(temp))
	}
	if err := sync(temp); err != nil { // or after a crash the name is there, and the files are not
		return "", errors.Join(err, remove(temp))
	}
	return path, os.Rename(temp, path)
}

// sync writes what is in a subvolume to the disk.
func sync(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// View is the container's snapshot, or a new one of the layers' subvolume.
func (d Driver) View(ctx context.Context, s unionfs.Stack) (string, func() error, error) {
	if !s.ReadOnly {
		path := filepath.Join(s.Dir, "merged")
		_, err := os.Stat(path)
		return path, func() error { return nil }, err
	}
	below, err := d.image(ctx, s)
	if err != nil {
		return "", nil, fmt.Errorf("btrfs: %w", err)
	}
	views := filepath.Join(s.Dir, "views")
	if err := os.MkdirAll(views, 0o700); err != nil {
		return "", nil, fmt.Errorf("btrfs: %w", err)
	}
	temp, err := os.MkdirTemp(views, "view")
	if err != nil {
		return "", nil, fmt.Errorf("btrfs: %w", err)
	}
	path := filepath.Join(temp, "root")
	done := func() error { return errors.Join(remove(path), os.RemoveAll(temp)) }
	if err := on(below, path); err != nil {
		return "", nil, errors.Join(fmt.Errorf("btrfs: %w", err), done())
	}
	return path, done, nil
}

// Changes compares the top layer's subvolume with the container's, byte by byte.
func (d Driver) Changes(ctx context.Context, s unionfs.Stack, w io.Writer) (err error) {
	if s.ReadOnly {
		return fmt.Errorf("btrfs: %s: a read-only root has no changes", s.Dir)
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

// Remove removes the container's subvolumes.
func (Driver) Remove(_ context.Context, s unionfs.Stack) error {
	views, err := filepath.Glob(filepath.Join(s.Dir, "views", "*", "root"))
	if err != nil {
		return err
	}
	for _, path := range append(views, filepath.Join(s.Dir, "merged")) {
		if err := remove(path); err != nil {
			return fmt.Errorf("btrfs: %w", err)
		}
	}
	return unionfs.RemoveFolders(s.Dir, "merged", "views")
}
