// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockFolder opens a folder and locks it (flock(2)) until it is closed or the process ends. With LOCK_NB it gives EWOULDBLOCK where
// somebody else has it.
func lockFolder(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// sameFolder says whether a locked folder still has its name: its owner may have renamed or removed it.
func sameFolder(f *os.File, dir string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(dir)
	return err == nil && os.SameFile(opened, named)
}

// claim makes a folder, or takes over what a dead process left there, empty and locked. While another process has it, claim waits.
func claim(ctx context.Context, dir string) (*os.File, error) {
	for {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		lock, err := lockFolder(dir, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil && sameFolder(lock, dir):
			if err := empty(dir); err != nil {
				lock.Close()
				return nil, err
			}
			return lock, nil
		case err == nil:
			lock.Close()
		case errors.Is(err, unix.EWOULDBLOCK):
			if err := pause(ctx); err != nil {
				return nil, fmt.Errorf("wait for who has %s: %w", dir, err)
			}
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
}

// empty removes what is in a folder.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := removeAll(dir + "/" + entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

// pause waits before it is worth to look at other processes again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(5 * time.Millisecond):
		return nil
	}
}
