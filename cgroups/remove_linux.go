// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long the removal of a group waits for the kernel: a process that has ended counts until it has given
// back its memory.
const patience = 10 * time.Second

// Remove ends what still runs in the group and removes it, with all groups that were made below it, and then the
// folders above it that were made for it, if nobody else uses them.
func (g Group) Remove() error {
	if err := g.RemoveOwn(); err != nil {
		return err
	}
	return g.RemoveAbove()
}

// RemoveOwn is Remove without the folders above. Those concern other containers, too: whoever starts several at once
// removes them when none of the others is just being made.
func (g Group) RemoveOwn() error {
	err := g.each(removeUnused)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	if err := g.Kill(); err != nil {
		return err
	}
	return g.each(removePatiently)
}

// RemoveAbove removes the folders above the group that were made for it, if nobody uses them.
func (g Group) RemoveAbove() error {
	var errs []error
	for _, f := range g.Folders {
		for _, dir := range slices.Backward(f.New) {
			if dir != f.Path {
				errs = append(errs, removeShared(dir))
			}
		}
	}
	return errors.Join(errs...)
}

// RemoveUnused removes what was made for a group that nobody looks after: where a process still runs, it stays, and the
// error is EBUSY. A folder of its own that was there before stays, too.
func (g Group) RemoveUnused() error {
	made := Group{Folders: slices.DeleteFunc(slices.Clone(g.Folders), func(f Folder) bool { return !slices.Contains(f.New, f.Path) })}
	if err := made.each(removeUnused); err != nil {
		return err
	}
	return g.RemoveAbove()
}

// Inheriting returns the group with the folders above it that were made for an earlier group in its place.
func (g Group) Inheriting(old Group) Group {
	g.Folders = slices.Clone(g.Folders)
	for i, f := range g.Folders {
		for _, o := range old.Folders {
			if o.Path != f.Path {
				continue
			}
			above := slices.DeleteFunc(slices.Clone(o.New), func(dir string) bool { return dir == o.Path || slices.Contains(f.New, dir) })
			g.Folders[i].New = append(above, f.New...)
		}
	}
	return g
}

// Gone tells whether nothing is left of what was made for the group: neither its folders nor those above them.
func (g Group) Gone() bool {
	for _, f := range g.Folders {
		for _, dir := range f.New {
			if unix.Access(dir, unix.F_OK) == nil {
				return false
			}
		}
	}
	return true
}

// Nested tells whether the group lies in another one than the top of a hierarchy.
func (g Group) Nested() bool {
	return slices.ContainsFunc(g.Folders, func(f Folder) bool { return path.Dir(f.Path) != f.Top })
}

// each removes the group's own folder in every hierarchy by a function.
func (g Group) each(own func(dir string) error) error {
	var errs []error
	for _, f := range g.Folders {
		errs = append(errs, own(f.Path))
	}
	return errors.Join(errs...)
}

// removeShared removes a folder unless somebody uses it.
func removeShared(dir string) error {
	err := rmdir(dir)
	if err == nil || err == unix.EBUSY || err == unix.ENOTEMPTY {
		return nil
	}
	return fmt.Errorf("remove the cgroup %s: %w", dir, err)
}

// rmdir removes a folder without processes; one that is not there is no error. On a read-only file system the kernel
// would not even say that it is not there.
func rmdir(dir string) error {
	err := unix.Rmdir(dir)
	if err == unix.ENOENT || err == unix.EROFS && unix.Access(dir, unix.F_OK) == unix.ENOENT {
		return nil
	}
	return err
}

// removePatiently removes a folder and those below it, once the kernel has taken their last processes out.
func removePatiently(dir string) error {
	end := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := removeUnused(dir)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
		time.Sleep(pause) // the kernel does not tell
	}
}

// removeUnused removes a folder and those below it, unless a process is in one of them: then that one stays, and the
// error is EBUSY. A folder that is not there is no error.
func removeUnused(dir string) error {
	err := rmdir(dir)
	if err == nil {
		return nil
	}
	if err != unix.EBUSY && err != unix.ENOTEMPTY {
		return fmt.Errorf("remove the cgroup %s: %w", dir, err)
	}
	below, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the cgroup: %w", err)
	}
	for _, entry := range below {
		if entry.IsDir() {
			if err := removeUnused(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := rmdir(dir); err != nil {
		return fmt.Errorf("remove the cgroup %s: %w", dir, err)
	}
	return nil
}
