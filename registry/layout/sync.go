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
// got it. An index may list manifests that are not there, a manifest may not.
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
		below, err := l.below(ctx, d)
		if err != nil {
			return err
		}
		work = append(work, below...)
	}
	if err := syncAll(blobs); err != nil {
		return err
	}
	return syncAll(slices.Collect(maps.Keys(folders)))
}

// below lists what a manifest or index of the folder names and the folder has, and insists on the blobs of a manifest.
func (l *Layout) below(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !registry.MayLink(d) {
		return nil, nil
	}
	all, err := registry.Links(ctx, l, d)
	if err != nil {
		return nil, err
	}
	var there []ocispec.Descriptor
	for _, b := range all {
		has, err := l.Exists(ctx, b)
		if err != nil {
			return nil, err
		}
		if !has && !registry.IsIndex(d.MediaType) {
			return nil, fmt.Errorf("manifest %s in image layout %s: its blob %s: %w", d.Digest, l.dir, b.Digest, registry.ErrNotFound)
		}
		if has {
			there = append(there, b)
		}
	}
	return there, nil
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
