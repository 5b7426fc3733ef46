// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
)

// The folders and files that image-spec doesn't name.
const (
	ingestDir = "ingest"
	leaseDir  = "leases"
	lockFile  = "lock"
)

// Layout is an OCI image layout. It is a [registry.Store], [registry.Lister], [registry.Leaser] and [registry.Ingester].
type Layout struct {
	dir   string
	names *names
	lease *lease // of a view
}

// Open opens the layout in a folder, or makes one there. A folder with other things in it is refused.
func Open(dir string) (*Layout, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l := &Layout{dir: dir, names: &names{file: filepath.Join(dir, ocispec.ImageIndexFile)}}
	text, err := os.ReadFile(filepath.Join(dir, ocispec.ImageLayoutFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, l.create()
	}
	if err != nil {
		return nil, err
	}
	var header ocispec.ImageLayout
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, ocispec.ImageLayoutFile), err)
	}
	if !strings.HasPrefix(header.Version, "1.") {
		return nil, fmt.Errorf("image layout %s has version %q, this program knows 1", dir, header.Version)
	}
	return l, nil
}

// create makes an empty layout. The file that makes it one comes last, so that whoever finds it finds the rest.
func (l *Layout) create() error {
	if err := l.refuseStrange(); err != nil {
		return err
	}
	for _, name := range []string{"blobs/sha256", ingestDir, leaseDir} {
		if err := os.MkdirAll(filepath.Join(l.dir, name), 0o755); err != nil {
			return err
		}
	}
	unlock, err := l.lock(exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(l.names.file); errors.Is(err, fs.ErrNotExist) {
		if err := l.replace(ocispec.ImageIndexFile, []byte(`{"schemaVersion":2,"mediaType":"`+ocispec.MediaTypeImageIndex+`","manifests":[]}`)); err != nil {
			return err
		}
	}
	return l.replace(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`))
}

// refuseStrange is an error if the folder has anything but what a layout has.
func (l *Layout) refuseStrange() error {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		ours := []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile, ocispec.ImageBlobsDir, ingestDir, leaseDir, lockFile}
		if !slices.Contains(ours, entry.Name()) {
			return fmt.Errorf("%s is no image layout: it has %q but no file %s; give an empty folder, or one that does not exist", l.dir, entry.Name(), ocispec.ImageLayoutFile)
		}
	}
	return err
}

// Dir is the folder.
func (l *Layout) Dir() string { return l.dir }

// path is the path of a blob. The digest must be a valid one.
func (l *Layout) path(d digest.Digest) string {
	return filepath.Join(l.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// Fetch opens a blob. What it returns can seek.
func (l *Layout) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return nil, err
	}
	f, err := os.Open(l.path(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.missing(d)
	}
	if err != nil {
		return nil, err
	}
	return &blob{registry.Verify(f, d), f.Name()}, nil
}

// FetchAll reads a small blob, for [registry.FetchAll].
func (l *Layout) FetchAll(_ context.Context, d ocispec.Descriptor) ([]byte, error) {
	path := l.path(d.Digest)
	data, err := readFile(path, d.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.missing(d)
	}
	if err != nil {
		return nil, err
	}
	return data, damaged(registry.VerifyBytes(d, data), path)
}

// readFile reads a file that should have size bytes, and at most one more. It makes three system calls where os.ReadFile
// makes seven: a list of images reads thousands of files.
func readFile(path string, size int64) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	data := make([]byte, size+1)
	for {
		n, err := unix.Pread(fd, data, 0) // a regular file gives all that it has
		switch {
		case err == nil:
			return data[:n], nil
		case !errors.Is(err, unix.EINTR):
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
	}
}

// missing is the error for a blob that is not there.
func (l *Layout) missing(d ocispec.Descriptor) error {
	return fmt.Errorf("%s in image layout %s: %w", d.Digest, l.dir, registry.ErrNotFound)
}

// Exists tells whether the folder has a blob of that size; through a lease, it stays.
func (l *Layout) Exists(_ context.Context, d ocispec.Descriptor) (has bool, err error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return false, err
	}
	err = l.hold(d, func() error {
		has, err = l.has(d)
		return err
	})
	return has, err
}

// has looks for a blob. One of another size is what a power cut left of it, and as good as none.
func (l *Layout) has(d ocispec.Descriptor) (bool, error) {
	stat, err := os.Stat(l.path(d.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && stat.Mode().IsRegular() && stat.Size() == d.Size, err
}
