// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// patience is how long the removal of a group waits for the kernel to take its last processes out: a killed process
// counts until it has given back its memory.
const patience = 10 * time.Second

// Remove ends what still runs in the group and removes it, with all groups that were made below it, and then the
// folders above it that were made for it, if nobody else uses them.
func (g Group) Remove() error { return g.each(remove) }

// RemoveUnused is Remove for a group that nobody looks after: where a process still runs, everything stays, and the
// error is EBUSY.
func (g Group) RemoveUnused() error { return g.each(removeUnused) }

// each removes the group in every hierarchy, its own folder by a function, those above it where they are empty.
func (g Group) each(own func(dir string) error) error {
	var errs []error
	for _, f := range g.Folders {
		if err := own(f.Path); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, dir := range slices.Backward(f.New) {
			if dir != f.Path {
				errs = append(errs, removeShared(dir))
			}
		}
	}
	return errors.Join(errs...)
}

// removeShared removes a folder unless somebody uses it.
func removeShared(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || err == unix.EBUSY || err == unix.ENOTEMPTY || err == unix.ENOENT {
		return nil
	}
	return fmt.Errorf("remove the cgroup %s: %w", dir, err)
}

// remove removes one folder with all below it. Without processes that is one system call for each; else they are
// killed, and the kernel is asked again until they are gone.
func remove(dir string) error {
	end := time.Now().Add(patience)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := unix.Rmdir(dir)
		switch {
		case err == nil, err == unix.ENOENT:
			return nil
		case err != unix.EBUSY && err != unix.ENOTEMPTY || time.Now().After(end):
			return fmt.Errorf("remove the cgroup %s: %w", dir, err)
		}
		if err := empty(dir); err != nil {
			return err
		}
		time.Sleep(pause) // the kernel does not tell when it stops to count a process that has ended
	}
}

// empty removes the groups below a folder and kills its processes.
func empty(dir string) error {
	below, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look into the cgroup: %w", err)
	}
	for _, entry := range below {
		if entry.IsDir() {
			if err := remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	list, err := kernel.ReadFile(dir + "/cgroup.procs")
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	for _, word := range strings.Fields(string(list)) {
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 && pid != os.Getpid() {
			unix.Kill(pid, unix.SIGKILL) // it may be gone by now
		}
	}
	return nil
}

// removeUnused removes a folder and those below it, unless a process is in one of them: then it stays, and the error
// is EBUSY. A folder that is not there is no error.
func removeUnused(dir string) error {
	below, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range below {
		if entry.IsDir() {
			if err := removeUnused(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove the cgroup %s: %w", dir, err)
	}
	return nil
}
