// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Collected is what a garbage collection removed.
type Collected struct {
	Blobs, Uploads, Manifests int
	// Bytes are those of the blobs and uploads; a blob that another repository has, too, still takes its place on the disk.
	Bytes int64
}

// Collect removes, in every repository, the blobs that no manifest needs and the uploads that nobody goes on with, if they are older than
// the grace; with [Options.DeleteUntagged] the manifests without a tag before. It may run at any time; one at a time
// does. A repository with a manifest that can't be understood is left as it is, and named in the error.
func (s *Server) Collect(ctx context.Context) (Collected, error) {
	if s.o.ReadOnly {
		return Collected{}, errors.New("the registry is read-only: nothing is collected")
	}
	s.collecting.Lock()
	defer s.collecting.Unlock()
	s.count.collections.Add(1)
	c := collection{before: time.Now().Add(-s.o.Grace)}
	names, err := s.folders()
	bad := []error{err}
	for _, name := range names {
		if ctx.Err() != nil {
			bad = append(bad, ctx.Err())
			break
		}
		if err := c.repository(s, s.repository(name)); err != nil {
			bad = append(bad, fmt.Errorf("repository %s: %w", name, err))
		}
	}
	s.count.collected.Add(int64(c.done.Blobs))
	s.count.collectedBytes.Add(c.done.Bytes)
	s.count.lock.Lock()
	s.count.kept = c.left
	s.count.lock.Unlock()
	if err := errors.Join(bad...); err != nil {
		s.count.failed.Add(1)
		return c.done, err
	}
	return c.done, nil
}

// folders are the names of all repositories, also of those that have had nothing but uploads yet; the deepest first, so that what is
// empty then can go with its parents.
func (s *Server) folders() ([]string, error) {
	var names []string
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || path == s.root || !entry.IsDir() {
			return err
		}
		if ours(path) {
			return fs.SkipDir
		}
		folder, err := filepath.Rel(s.root, path)
		if name := nameOf(folder); err == nil && checkName(name) == nil && folderOf(name) == folder {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	slices.Reverse(names)
	return names, err
}

// collection is a garbage collection under way.
type collection struct {
	before time.Time // what is younger stays
	done   Collected
	left   kept
}

// repository collects one repository. Nobody changes it meanwhile, and nobody relies on a blob that no manifest needs.
func (c *collection) repository(s *Server, r *repository) error {
	r.busy.Lock()
	defer r.busy.Unlock()
	if err := c.uploads(s, r); err != nil {
		return err
	}
	index, err := r.index()
	if unknown := new(refusal); errors.As(err, &unknown) {
		return c.removeEmpty(r)
	}
	if err != nil {
		return err
	}
	if s.o.DeleteUntagged {
		if index, err = c.manifests(r, index); err != nil {
			return err
		}
	}
	needed, err := r.mark(index)
	if err != nil {
		return err
	}
	blobs, err := c.sweep(r, needed)
	if err != nil {
		return err
	}
	if len(index.Manifests) == 0 && blobs == 0 {
		return c.removeEmpty(r)
	}
	c.left.repositories++
	return nil
}

// mark finds what the manifests of a repository need, themselves included.
func (r *repository) mark(index ocispec.Index) (map[digest.Digest]bool, error) {
	needed := map[digest.Digest]bool{}
	for _, entry := range index.Manifests { // also of a kind that walk doesn't know
		needed[entry.Digest] = true
		if !isManifest(entry.MediaType) {
			return nil, fmt.Errorf("what %s (%s) needs is not known", entry.Digest, quote(entry.MediaType))
		}
	}
	err := r.walk(index, func(_ ocispec.Descriptor, m manifest) {
		for _, d := range m.needs() {
			needed[d.Digest] = true
		}
	})
	return needed, err
}

// sweep removes the old blobs that are not needed, and counts those that stay.
func (c *collection) sweep(r *repository, needed map[digest.Digest]bool) (left int, err error) {
	for _, a := range algorithms() {
		folder := filepath.Join(r.dir, ocispec.ImageBlobsDir, a.String())
		err = errors.Join(err, eachFile(folder, func(name string, info fs.FileInfo) error {
			if needed[digest.NewDigestFromEncoded(a, name)] || !info.ModTime().Before(c.before) {
				left++
				c.left.blobs++
				c.left.bytes += info.Size()
				return nil
			}
			c.done.Blobs++
			c.done.Bytes += info.Size()
			return os.Remove(filepath.Join(folder, name))
		}))
	}
	return left, err
}

// uploads removes the old uploads, if no request is at them.
func (c *collection) uploads(s *Server, r *repository) error {
	folder := filepath.Join(r.dir, uploadsFolder)
	return eachFile(folder, func(name string, info fs.FileInfo) error {
		if !info.ModTime().Before(c.before) {
			return nil
		}
		u, err := s.upload(r, name)
		if err != nil { // no name of an upload
			return os.Remove(filepath.Join(folder, name))
		}
		select {
		case u.turn <- struct{}{}:
		default:
			return nil
		}
		defer u.give()
		c.done.Uploads++
		c.done.Bytes += info.Size()
		return s.cancel(u)
	})
}

// eachFile shows the regular files of a folder. A folder that is not there has none.
func eachFile(folder string, show func(name string, info fs.FileInfo) error) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		info, gone := entry.Info()
		if gone != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := show(entry.Name(), info); err != nil {
			return err
		}
	}
	return err
}

// manifests removes from the index the old manifests without a tag that nothing which stays needs, and whose subject does not stay.
func (c *collection) manifests(r *repository, index ocispec.Index) (ocispec.Index, error) {
	content := map[digest.Digest]manifest{}
	referrers := map[digest.Digest][]digest.Digest{}
	err := r.walk(index, func(d ocispec.Descriptor, m manifest) {
		content[d.Digest] = m
		if m.Subject != nil {
			referrers[m.Subject.Digest] = append(referrers[m.Subject.Digest], d.Digest)
		}
	})
	if err != nil {
		return index, err
	}
	stays := map[digest.Digest]bool{}
	var stay func(digest.Digest)
	stay = func(d digest.Digest) {
		if stays[d] {
			return
		}
		stays[d] = true
		for _, child := range content[d].Manifests {
			stay(child.Digest)
		}
		for _, referrer := range referrers[d] {
			stay(referrer)
		}
	}
	for _, entry := range index.Manifests {
		info, err := os.Lstat(r.blob(entry.Digest))
		if err != nil {
			return index, err
		}
		if tag(entry) != "" || !info.ModTime().Before(c.before) {
			stay(entry.Digest)
		}
	}
	err = r.update(func(now *ocispec.Index) error {
		before := len(now.Manifests)
		now.Manifests = slices.DeleteFunc(now.Manifests, func(entry ocispec.Descriptor) bool {
			_, looked := content[entry.Digest]
			return looked && tag(entry) == "" && !stays[entry.Digest]
		})
		c.done.Manifests += before - len(now.Manifests)
		index = *now
		return nil
	})
	return index, err
}

// removeEmpty removes the folder of a repository without manifests, blobs and uploads, and its parents as far as they are empty. One
// that another program has just started to write is left alone.
func (c *collection) removeEmpty(r *repository) error {
	if info, err := os.Stat(r.dir); err != nil || !info.ModTime().Before(c.before) {
		return missing(err, nil)
	}
	folders := []string{uploadsFolder}
	for _, a := range algorithms() {
		folders = append(folders, filepath.Join(ocispec.ImageBlobsDir, a.String()))
	}
	for _, name := range append(folders, ocispec.ImageBlobsDir) {
		err := os.Remove(filepath.Join(r.dir, name)) // fails where something is left in it
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	for _, name := range []string{temporaryOf(ocispec.ImageIndexFile), temporaryOf(ocispec.ImageLayoutFile), ocispec.ImageIndexFile, ocispec.ImageLayoutFile, "lock"} {
		if err := os.Remove(filepath.Join(r.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for dir, left := r.dir, r.name; left != ""; dir, left = filepath.Dir(dir), parent(left) {
		if os.Remove(dir) != nil { // not empty
			break
		}
	}
	return nil
}

// parent is a name without its last component.
func parent(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			return name[:i]
		}
	}
	return ""
}
