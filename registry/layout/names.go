// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// names is index.json as it was read last. What it returns is never changed.
type names struct {
	file string

	mu    sync.Mutex
	stat  fs.FileInfo
	index *index
}

// read returns index.json, read again if it is another file or was written to.
func (n *names) read() (*index, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	stat, err := os.Stat(n.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && n.stat != nil && os.SameFile(stat, n.stat) && stat.Size() == n.stat.Size() && stat.ModTime().Equal(n.stat.ModTime()) {
		return n.index, nil
	}
	x, err := readIndex(n.file)
	if err != nil {
		return nil, err
	}
	n.stat, n.index = stat, x
	return x, nil
}

// wrote takes over what this process has just written. Whoever calls still has the lock.
func (n *names) wrote(x *index) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index = x
	n.stat, _ = os.Stat(n.file) // nil means to read again
}

// Names lists all manifests that the folder keeps by themselves, in the order of index.json; one with two names is there twice.
func (l *Layout) Names(context.Context) ([]registry.Named, error) {
	x, err := l.names.read()
	if err != nil {
		return nil, err
	}
	all := make([]registry.Named, len(x.entries))
	for i, e := range x.entries {
		all[i] = e.named()
	}
	return all, nil
}

// Tags lists the names.
func (l *Layout) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, err := l.Names(ctx)
		if err != nil {
			yield("", err)
			return
		}
		var tags []string
		for _, n := range all {
			if n.Name != "" {
				tags = append(tags, n.Name)
			}
		}
		slices.Sort(tags)
		for _, tag := range slices.Compact(tags) {
			if !yield(tag, nil) {
				return
			}
		}
	}
}

// Resolve returns the manifest with a name. By digest it finds any manifest of the folder. Through a lease, the manifest and all it
// names stay.
func (l *Layout) Resolve(ctx context.Context, ref string) (d ocispec.Descriptor, err error) {
	err = l.holding(func() (ocispec.Descriptor, error) {
		d, err = l.resolve(ctx, ref)
		return d, err
	})
	return d, err
}

// resolve is Resolve without a lease.
func (l *Layout) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	x, err := l.names.read()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	wanted, isDigest := registry.AsDigest(ref)
	for _, e := range x.entries {
		if e.name() == ref && ref != "" || isDigest && e.descriptor.Digest == wanted {
			return e.named().Descriptor, nil
		}
	}
	if isDigest {
		return l.inspect(ctx, wanted)
	}
	return ocispec.Descriptor{}, fmt.Errorf("%q in image layout %s: %w", ref, l.dir, registry.ErrNotFound)
}

// inspect makes the descriptor of a manifest that has no entry in index.json, because it is in an index, from what is in it.
func (l *Layout) inspect(ctx context.Context, wanted digest.Digest) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{Digest: wanted}
	stat, err := os.Stat(l.path(wanted))
	if errors.Is(err, fs.ErrNotExist) {
		return d, fmt.Errorf("%s in image layout %s: %w", wanted, l.dir, registry.ErrNotFound)
	}
	if err != nil {
		return d, err
	}
	d.Size = stat.Size()
	text, err := registry.FetchAll(ctx, &Layout{dir: l.dir}, d)
	if err != nil {
		return d, err
	}
	d.MediaType = registry.MediaTypeOf(text)
	if d.MediaType == "" {
		return d, fmt.Errorf("%s in image layout %s is no manifest: %w", wanted, l.dir, registry.ErrNotFound)
	}
	return d, nil
}

// Tag gives a manifest a name; its digest as the name keeps it without one. Before that, all that it leads to is brought to the disk.
// A manifest that loses the name and has no other is kept without one, until it is deleted.
func (l *Layout) Tag(ctx context.Context, d ocispec.Descriptor, ref string) error {
	if ref == "" {
		return errors.New("an image can't have the empty name")
	}
	name := ref
	if by, is := registry.AsDigest(ref); is {
		if by != d.Digest {
			return fmt.Errorf("manifest %s can't be called %s", d.Digest, ref)
		}
		name = ""
	}
	missing := fmt.Errorf("tag %s in image layout %s: manifest %s: %w", ref, l.dir, d.Digest, registry.ErrNotFound)
	if has, err := l.Exists(ctx, d); !has || err != nil {
		return errors.Join(err, missing)
	}
	if err := l.persist(ctx, d); err != nil {
		return err
	}
	return l.change(func(x *index) error {
		if has, err := l.has(d); !has || err != nil { // a collection may have been here
			return errors.Join(err, missing)
		}
		return x.tag(d, name)
	})
}

// Delete removes a name, or by digest the manifest with all its names.
func (l *Layout) Delete(_ context.Context, ref string) error {
	return l.change(func(x *index) error {
		if !x.remove(ref) {
			return fmt.Errorf("delete %q from image layout %s: %w", ref, l.dir, registry.ErrNotFound)
		}
		return nil
	})
}

// change reads, changes and writes index.json while nobody else does.
func (l *Layout) change(edit func(*index) error) error {
	unlock, err := l.lock(exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	x, err := l.names.read()
	if err != nil {
		return err
	}
	if x, err = x.opened(); err != nil {
		return fmt.Errorf("%s: %w", l.names.file, err)
	}
	if err := edit(x); err != nil {
		return err
	}
	text, err := x.encode()
	if err != nil {
		return err
	}
	if err := l.replace(ocispec.ImageIndexFile, text); err != nil {
		return err
	}
	l.names.wrote(x)
	return nil
}

// replace writes a file of the layout so that after a crash or power cut it is the old or the new one. Whoever calls has the
// lock, so one name for the temporary file will do, and what a crash has left of it is overwritten.
func (l *Layout) replace(name string, text []byte) (err error) {
	temp := filepath.Join(l.dir, ingestDir, name)
	if err := os.MkdirAll(filepath.Dir(temp), 0o755); err != nil { // others make none
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	if _, err := f.Write(text); err != nil {
		return writeError{err}
	}
	if err := f.Sync(); err != nil {
		return writeError{err}
	}
	if err := os.Rename(temp, filepath.Join(l.dir, name)); err != nil {
		return err
	}
	return syncFolder(l.dir)
}
