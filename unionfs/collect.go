// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Collected is what a collection removed.
type Collected struct {
	Layers int
	// Bytes are those of the layers' files.
	Bytes int64
}

// Collect removes the layers without a holder, and what killed processes left.
func (l *Layers) Collect(ctx context.Context) (Collected, error) {
	collected, err := l.hideUnheld(ctx)
	return collected, errors.Join(err, l.sweep())
}

// hideUnheld takes the names from the layers without a holder, so that nobody finds them any more: the sweep removes them. Meanwhile
// nobody can become a holder.
func (l *Layers) hideUnheld(ctx context.Context) (c Collected, err error) {
	lock, err := lockFolder(filepath.Join(l.dir, holdersName), unix.LOCK_EX)
	if err != nil {
		return c, err
	}
	defer lock.Close()
	held, err := l.held()
	if err != nil {
		return c, fmt.Errorf("who holds layers: %w", err)
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return c, err
	}
	for _, entry := range entries {
		name := entry.Name()
		if held[name] || name == holdersName || strings.HasPrefix(name, ".") || !entry.IsDir() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return c, err
		}
		dir := filepath.Join(l.dir, name)
		r, _ := readRecord(dir) // one without a record is damaged, and not counted
		if _, err := l.discard(ctx, dir); err != nil {
			return c, err
		}
		c.Layers++
		c.Bytes += r.Bytes
	}
	return c, nil
}

// discard takes the name from a layer and returns the hidden folder where it is now. One that is not there is no error.
func (l *Layers) discard(ctx context.Context, dir string) (trash string, err error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if trash, err = os.MkdirTemp(l.dir, ".gone-"); err != nil {
		return "", err
	}
	lock, err := claim(ctx, trash) // or a sweep takes it away
	if err != nil {
		return "", err
	}
	defer lock.Close()
	err = os.Rename(dir, filepath.Join(trash, filepath.Base(dir)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return trash, fmt.Errorf("remove layer %s: %w", filepath.Base(dir), err)
	}
	return trash, nil
}

// sweep removes the hidden folders that nobody has locked.
func (l *Layers) sweep() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	var problems []error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") && entry.IsDir() {
			problems = append(problems, sweepOne(filepath.Join(l.dir, entry.Name())))
		}
	}
	return errors.Join(problems...)
}

// sweepOne removes one of them.
func sweepOne(dir string) error {
	lock, err := lockFolder(dir, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if !sameFolder(lock, dir) {
		return nil
	}
	if err := removeAll(dir); err != nil {
		return fmt.Errorf("remove what is left of a layer: %w", err)
	}
	return nil
}
