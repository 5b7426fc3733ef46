// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// persist sees that a manifest and all it leads to is there, and brings it to the disk. For what has a name that was done before it
// got it.
func (l *Layout) persist(ctx context.Context, d ocispec.Descriptor) error {
	x, err := l.names.read()
	if err != nil || x.hasDigest(d.Digest) {
		return err
	}
	seen := map[digest.Digest]bool{}
	folders := map[string]bool{filepath.Join(l.dir, ocispec.ImageBlobsDir): true}
	var blobs []string
	for work := []ocispec.Descriptor{d}; len(work) > 0; {
		d, work = work[0], work[1:]
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		blobs = append(blobs, l.path(d.Digest))
		folders[filepath.Dir(l.path(d.Digest))] = true
		below, err := registry.Present(ctx, l, d)
		if err != nil {
			return fmt.Errorf("image layout %s: %w", l.dir, err)
		}
		work = append(work, below...)
	}
	if err := syncAll(blobs); err != nil {
		return err
	}
	return syncAll(slices.Collect(maps.Keys(folders)))
}

// syncAll syncs files at once: the file system then writes its journal once for several of them.
func syncAll(paths []string) error {
	const writers = 16
	queue := make(chan string)
	failed := make([]error, writers)
	var workers sync.WaitGroup
	for i := range writers {
		workers.Go(func() {
			for path := range queue {
				if err := syncFolder(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					failed[i] = writeError{err}
				}
			}
		})
	}
	for _, path := range paths {
		queue <- path
	}
	close(queue)
	workers.Wait()
	return errors.Join(failed...)
}

// syncFolder is fsync(2) on a folder, or a file.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
