// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
	"golang.org/x/sys/unix"

	"stave/registry"
)

// ErrNotFound says that there is no such list here.
var ErrNotFound = errors.New("no such list of manifests")

// Lists are the lists that are put together in a state folder.
type Lists struct {
	dir string
	// Repository opens a repository of a registry.
	repository func(named reference.Named) (registry.Store, error)
}

// Open returns the lists of a state folder.
func Open(state string, repository func(named reference.Named) (registry.Store, error)) *Lists {
	return &Lists{dir: filepath.Join(state, "manifests"), repository: repository}
}

// file is where a list is kept.
func (s *Lists) file(named reference.Named) string {
	return filepath.Join(s.dir, url.PathEscape(named.String())+".json")
}

// Get returns a list, or an error that is [ErrNotFound].
func (s *Lists) Get(named reference.Named) (*List, error) {
	data, err := os.ReadFile(s.file(named))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s; stave manifest create makes one", ErrNotFound, reference.FamiliarString(named))
	}
	if err != nil {
		return nil, err
	}
	l, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.file(named), err)
	}
	return l, nil
}

// Change reads a list, lets change change it, and keeps it. One that is not there is given to change as nil, and what that returns is
// kept.
func (s *Lists) Change(named reference.Named, change func(*List) (*List, error)) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o700); err != nil { // one that was there before
		return err
	}
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	l, err := s.Get(named)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if l, err = change(l); err != nil {
		return err
	}
	return s.write(s.file(named), l)
}

// lock takes the lock of the folder.
func (s *Lists) lock() (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// write writes a list under a name that whoever holds the lock may use, and renames it.
func (s *Lists) write(name string, l *List) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(s.dir, ".new")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("keep the list %s: %w", registry.Familiar(l.Name), err), os.Remove(temporary))
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	folder, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// Remove forgets a list.
func (s *Lists) Remove(named reference.Named) error {
	err := os.Remove(s.file(named))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, reference.FamiliarString(named))
	}
	return err
}
