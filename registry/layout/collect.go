// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// newPrefix begins the name of a file in ingest whose digest is not known.
const newPrefix = "new-"

// resumable is for how long the next push may go on with what one that was cut off has left.
const resumable = 24 * time.Hour

// Collected is what a collection removed.
type Collected struct {
	Blobs int
	Bytes int64
}

// Collect removes the blobs that neither a name leads to, nor an entry without a name, nor a lease; and what pushes that were
// cut off more than a day ago have left. It may run beside anything that holds a lease: pushes that end and questions whether a
// blob exists wait for it, bytes flow on.
func (l *Layout) Collect(ctx context.Context) (Collected, error) {
	unlock, err := l.lock(exclusive)
	if err != nil {
		return Collected{}, err
	}
	defer unlock()
	roots, err := l.leased()
	if err != nil {
		return Collected{}, err
	}
	x, err := readIndex(l.names.file)
	if err != nil {
		return Collected{}, err
	}
	for _, e := range x.entries {
		roots = append(roots, e.descriptor)
	}
	needed, err := registry.Reachable(ctx, &Layout{dir: l.dir}, roots...)
	if err != nil {
		return Collected{}, err
	}
	blobs, err := l.sweepBlobs(ctx, needed)
	if err != nil {
		return blobs, err
	}
	left, err := l.sweepTemporary(true)
	return Collected{blobs.Blobs, blobs.Bytes + left}, err
}

// sweepBlobs removes the blobs that are not needed.
func (l *Layout) sweepBlobs(ctx context.Context, needed map[digest.Digest]bool) (Collected, error) {
	var c Collected
	root := filepath.Join(l.dir, ocispec.ImageBlobsDir)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := digest.Digest(filepath.Base(filepath.Dir(path)) + ":" + entry.Name())
		if filepath.Dir(filepath.Dir(path)) != root || name.Validate() != nil || needed[name] {
			return ctx.Err() // what is no blob is somebody else's
		}
		stat, err := entry.Info()
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		c.Blobs++
		c.Bytes += stat.Size()
		return ctx.Err()
	})
	return c, err
}

// sweepTemporary removes what dead processes have left: leases, blobs without a digest and, if partial is set, parts of blobs that nobody
// has gone on with for a day. It returns how many bytes that were.
func (l *Layout) sweepTemporary(partial bool) (int64, error) {
	var bytes int64
	var failed error
	for _, dir := range []string{leaseDir, ingestDir} {
		entries, err := os.ReadDir(filepath.Join(l.dir, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		for _, entry := range entries {
			if dir == ingestDir && !strings.HasPrefix(entry.Name(), newPrefix) && !(partial && abandoned(entry)) {
				continue
			}
			removed, size, err := removeUnlocked(filepath.Join(l.dir, dir, entry.Name()))
			failed = errors.Join(failed, err)
			if removed {
				bytes += size
			}
		}
	}
	return bytes, failed
}

// abandoned says whether nothing was written to a file for long.
func abandoned(entry fs.DirEntry) bool {
	stat, err := entry.Info()
	return err == nil && time.Since(stat.ModTime()) > resumable
}
