// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
)

// lease is a file with the descriptors that a collection has to keep, one JSON object a line. It is locked as long as it counts.
type lease struct {
	mu     sync.Mutex
	file   *os.File
	held   map[digest.Digest]bool
	failed error // of a write, after which half a line may stand there
}

// Lease returns a view of the layout for one copy: all that is pushed through it, that it says exists, or that it
// resolves is safe from [Layout.Collect], with all that manifests among it name, until release is called or the process ends.
func (l *Layout) Lease(ctx context.Context) (registry.Store, func() error, error) {
	if _, err := l.sweepTemporary(false); err != nil && !readOnly(err) {
		return nil, nil, err
	}
	path := filepath.Join(l.dir, leaseDir)
	err := os.MkdirAll(path, 0o755)
	var f *os.File
	if err == nil {
		path = filepath.Join(path, rand.Text())
		f, err = openLocked(ctx, path)
	}
	if readOnly(err) {
		return nil, nil, fmt.Errorf("%w: %w", registry.ErrReadOnly, err)
	}
	if err != nil {
		return nil, nil, err
	}
	view := &Layout{dir: l.dir, names: l.names, lease: &lease{file: f, held: map[digest.Digest]bool{}}}
	return view, sync.OnceValue(func() error { return errors.Join(os.Remove(path), f.Close()) }), nil
}

// readOnly says whether an error is that of a folder that can't be written to.
func readOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}

// hold calls f, which looks for d or puts it in place, with a promise that no collection removes d between f and the end of
// the lease: the lease names d while the shared lock keeps collections out.
func (l *Layout) hold(d ocispec.Descriptor, f func() error) error {
	if l.lease == nil {
		return f()
	}
	if l.lease.has(d) {
		return f()
	}
	unlock, err := l.lock(shared)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.lease.add(d); err != nil {
		return err
	}
	return f()
}

// holding is hold for what f finds first.
func (l *Layout) holding(f func() (ocispec.Descriptor, error)) error {
	if l.lease == nil {
		_, err := f()
		return err
	}
	unlock, err := l.lock(shared)
	if err != nil {
		return err
	}
	defer unlock()
	d, err := f()
	if err != nil {
		return err
	}
	return l.lease.add(d)
}

// has says whether the lease names a blob.
func (s *lease) has(d ocispec.Descriptor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[d.Digest]
}

// add writes a blob to the lease.
func (s *lease) add(d ocispec.Descriptor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[d.Digest] || s.failed != nil {
		return s.failed
	}
	line, err := encodeLine(d)
	if err != nil {
		return err
	}
	if _, err := s.file.Write(line); err != nil {
		s.failed = fmt.Errorf("lease %s: %w", d.Digest, writeError{err})
		return s.failed
	}
	s.held[d.Digest] = true
	return nil
}

// encodeLine is the line of a lease.
func encodeLine(d ocispec.Descriptor) ([]byte, error) {
	line, err := json.Marshal(ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
	return append(line, '\n'), err
}

// leased lists what the live leases name. Whoever calls has the exclusive lock, so none is being written to.
func (l *Layout) leased() ([]ocispec.Descriptor, error) {
	paths, err := filepath.Glob(filepath.Join(l.dir, leaseDir, "*"))
	if err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	for _, path := range paths {
		if gone, _, err := removeUnlocked(path); gone || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // released by now
		}
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var d ocispec.Descriptor
			// Half a line is what a full disk left of it: its writer was told, and knows that the lease doesn't hold.
			if json.Unmarshal(lines.Bytes(), &d) == nil && registry.CheckDescriptor(d) == nil {
				all = append(all, d)
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("lease %s: %w", path, err)
		}
	}
	return all, nil
}
