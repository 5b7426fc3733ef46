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

// Try lets a driver try something in a new folder below dir, which is locked (flock(2)) and then removed with all that the driver made there.
// What a killed process left of its own try goes, too.
func Try(d Driver, dir string, try func(s Stack) error) (err error) {
	prefix := "." + d.Name() + "-"
	if err := sweepTries(d, dir, prefix); err != nil {
		return fmt.Errorf("%s: %w", d.Name(), err)
	}
	temp, err := os.MkdirTemp(dir, prefix)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name(), err)
	}
	lock, err := claim(context.Background(), temp)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Name(), err)
	}
	defer lock.Close()
	s := Stack{Dir: temp}
	return errors.Join(try(s), d.Remove(context.Background(), s), removeAll(temp))
}

// sweepTries removes the folders of tries that nobody has locked.
func sweepTries(d Driver, dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if err := sweepTry(d, filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove what a killed process left: %w", err)
		}
	}
	return nil
}

// sweepTry removes one of them.
func sweepTry(d Driver, temp string) error {
	lock, err := lockFolder(temp, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if !sameFolder(lock, temp) {
		return nil
	}
	return errors.Join(d.Remove(context.Background(), Stack{Dir: temp}), removeAll(temp))
}
