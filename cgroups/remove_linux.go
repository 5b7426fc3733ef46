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
func (g Group) Remove() error {
	var errs []error
	for _, f := range g.Folders {
		if err := remove(f.Path); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, dir := range slices.Backward(f.New) {
			if dir == f.Path {
				continue
			}
			err := unix.Rmdir(dir)
			if err != nil && err != unix.EBUSY && err != unix.ENOTEMPTY && err != unix.ENOENT {
				errs = append(errs, fmt.Errorf("remove the cgroup %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
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
