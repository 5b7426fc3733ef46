// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// CopyOptions are the choices of a copy; the zero value copies all.
type CopyOptions struct {
	// Platform, if set, chooses from an index the manifest for a machine of this platform, which alone is copied and named.
	Platform *ocispec.Platform
	// Sparse copies an index although the source lacks some of its manifests, of which then the destination has none either. It is for
	// folders and archives that keep an index with one platform's image.
	Sparse bool
	// Concurrency is how many blobs are copied at once; 0 means 4.
	Concurrency int
	// Progress is told what happens, by one goroutine at a time. It must not wait for long.
	Progress func(Event)
	// Copied is called once each blob of a manifest is in the destination: first for the configuration, and when that call has returned
	// for each layer, from the goroutine that copied it and so several times at once. A blob that a manifest has twice it is
	// called for once. Its error ends the copy.
	Copied func(ctx context.Context, manifest ocispec.Manifest, d ocispec.Descriptor) error
}

// Copy copies the image, index or artifact that is called srcRef in one store to another and calls it dstRef there; "" gives it no
// name. It returns the descriptor of what has the name. Blobs are copied before the manifests that name them and a name is
// given last, so the destination never has a part of an image under a name. What the destination has is not copied again, what a copy
// that was cut off has left is gone on with. The first error ends the copy. The subject of an artifact is not copied with it.
func Copy(ctx context.Context, dst Store, dstRef string, src Store, srcRef string, o CopyOptions) (top ocispec.Descriptor, err error) {
	dst, release, err := Hold(ctx, dst)
	if err != nil {
		return top, err
	}
	defer func() { err = errors.Join(err, release()) }()
	src, free, err := Hold(ctx, src)
	if err != nil {
		return top, err
	}
	defer func() { err = errors.Join(err, free()) }()
	if top, err = src.Resolve(ctx, srcRef); err != nil {
		return top, err
	}
	if o.Platform != nil {
		if top, err = ResolvePlatform(ctx, src, top, *o.Platform); err != nil {
			return top, err
		}
	}
	c := newCopying(dst, src, o)
	if err := c.image(ctx, top); err != nil {
		return top, err
	}
	if dstRef == "" {
		dstRef = top.Digest.String()
	}
	return top, dst.Tag(ctx, top, dstRef)
}

// copying is one copy.
type copying struct {
	dst, src Store
	o        CopyOptions
	progress *progress
	plan     plan
}

// newCopying fills in what the options leave out.
func newCopying(dst, src Store, o CopyOptions) *copying {
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	c := &copying{dst: dst, src: src, o: o, progress: &progress{tell: o.Progress}}
	c.plan = plan{read: c.read, sparse: o.Sparse}
	return c
}

// image copies all below a manifest or index, and then itself.
func (c *copying) image(ctx context.Context, top ocispec.Descriptor) error {
	if err := c.plan.add(ctx, top, maxDepth); err != nil {
		return err
	}
	for _, blobs := range [][]*planned{c.plan.configs, c.plan.layers} {
		err := each(ctx, c.o.Concurrency, blobs, func(ctx context.Context, b *planned) error {
			if err := c.blob(ctx, b.descriptor); err != nil {
				return err
			}
			return c.copied(ctx, b)
		})
		if err != nil {
			return err
		}
	}
	for _, m := range c.plan.manifests {
		if err := c.manifest(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// read reads a manifest or index: from the destination if that has it, which saves asking a registry for it.
func (c *copying) read(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	has, err := c.dst.Exists(ctx, d)
	if err != nil {
		return nil, err
	}
	if has {
		return FetchAll(ctx, c.dst, d)
	}
	return FetchAll(ctx, c.src, d)
}

// copied calls Copied for each manifest that has a blob.
func (c *copying) copied(ctx context.Context, b *planned) error {
	if c.o.Copied == nil {
		return nil
	}
	for _, m := range b.owners {
		if err := c.o.Copied(ctx, m.manifest, b.descriptor); err != nil {
			return err
		}
	}
	return nil
}

// blob sees to it that the destination has a blob.
func (c *copying) blob(ctx context.Context, d ocispec.Descriptor) error {
	has, err := c.dst.Exists(ctx, d)
	if err != nil {
		return err
	}
	if has {
		c.progress.send(Event{Stage: Existed, Descriptor: d, Offset: d.Size})
		return nil
	}
	if m, is := c.dst.(Mounter); is {
		mounted, err := m.Mount(ctx, d, c.src)
		if err != nil {
			return err
		}
		if mounted {
			c.progress.send(Event{Stage: Mounted, Descriptor: d, Offset: d.Size})
			return nil
		}
	}
	r, err := c.src.Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	return c.push(ctx, d, r)
}

// manifest sees to it that the destination has a manifest of which it has all else.
func (c *copying) manifest(ctx context.Context, m *owner) error {
	has, err := c.dst.Exists(ctx, m.descriptor)
	if err != nil {
		return err
	}
	if has {
		c.progress.send(Event{Stage: Existed, Descriptor: m.descriptor, Offset: m.descriptor.Size})
		return nil
	}
	return c.push(ctx, m.descriptor, newBytes(m.data))
}

// push moves the bytes and tells of it.
func (c *copying) push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	c.progress.send(Event{Stage: Started, Descriptor: d})
	if err := c.dst.Push(ctx, d, c.progress.reader(d, r)); err != nil {
		return fmt.Errorf("copy %s: %w", d.Digest, err)
	}
	c.progress.send(Event{Stage: Done, Descriptor: d, Offset: d.Size})
	return nil
}
