// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The two ways to take the lock of a layout: what adds takes it shared, what changes index.json or removes, alone.
const (
	shared    = unix.LOCK_SH
	exclusive = unix.LOCK_EX
)

// private is the mode of files that are locked: whoever can open one can lock it, and keep all others waiting.
const private = 0o600

// lock takes the lock of the layout, which nobody holds for long. It is of flock(2) on a descriptor of its own, so it holds against
// other goroutines as well as other processes.
func (l *Layout) lock(how int) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, lockFile), os.O_RDWR|os.O_CREATE, private)
	if err != nil {
		return nil, err
	}
	if err := flock(f, how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// flock is flock(2), gone on with after a signal.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// openLocked opens a file, made if it is not there, and locks it alone; while another has it locked, it waits. The file is at its path
// when it has the lock: who has the lock may move or remove it.
func openLocked(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, private)
		if err != nil {
			return nil, err
		}
		if err := waitLocked(ctx, f); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if stillAt(f, path) {
			return f, nil
		}
		f.Close()
	}
}

// waitLocked locks a file alone, which may take as long as somebody's download. flock(2) can't be cancelled, so this asks again and again.
func waitLocked(ctx context.Context, f *os.File) error {
	const longest = 100 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// stillAt says whether a path leads to an open file.
func stillAt(f *os.File, path string) bool {
	is, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Stat(path)
	return err == nil && os.SameFile(is, at)
}

// removeUnlocked removes a file that nobody has locked, and says whether it did and how large it was.
func removeUnlocked(path string) (bool, int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) != nil || !stillAt(f, path) {
		return false, 0, nil
	}
	stat, err := f.Stat()
	if err != nil {
		return false, 0, err
	}
	return true, stat.Size(), os.Remove(path)
}
