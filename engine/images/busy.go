// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lock takes a lock of the state folder by flock(2), which the kernel takes back when the process ends. how is unix.LOCK_SH or
// unix.LOCK_EX, with unix.LOCK_NB not to wait; then the error is unix.EWOULDBLOCK.
func (s *Images) lock(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

// underTurn does what no other command may do at the same time: to decide by the names of an image what becomes of it, and to give names.
// No bytes are moved meanwhile.
func (s *Images) underTurn(do func() error) error {
	lock, err := s.lock("images.lock", unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	return do()
}

// lease begins the making of an image: nothing of what is pushed through the view, and no layer that is held, is collected until release.
// The lock says that there are holders whose image is not in the store yet.
func (s *Images) lease(ctx context.Context) (view store, release func() error, err error) {
	lock, err := s.lock("images.busy", unix.LOCK_SH)
	if err != nil {
		return nil, nil, err
	}
	leased, free, err := s.layout.Lease(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	view, ok := leased.(store)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("the image store %s takes no new layers", s.layout.Dir()), free(), lock.Close())
	}
	return view, func() error { return errors.Join(free(), lock.Close()) }, nil
}

// forgetLost releases the layers of images that are not in the store: of pulls that failed or were killed. As long as an image is being made
// nothing is done, since that one is not in the store either.
func (s *Images) forgetLost(ctx context.Context) error {
	lock, err := s.lock("images.busy", unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	list, err := s.all(ctx)
	if err != nil {
		return nil // what can't be read keeps its layers
	}
	live := map[string]bool{}
	for _, image := range list {
		live[holder(image.ID)] = true
	}
	holders, err := s.layers.Holders()
	if err != nil {
		return err
	}
	for _, name := range holders {
		if strings.HasPrefix(name, holderPrefix) && !live[name] {
			if err := s.layers.Release(name); err != nil {
				return err
			}
		}
	}
	return nil
}
