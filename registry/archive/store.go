// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Names lists the images in the order of the archive; one with two names is there twice, one without a name has "". A full
// name is in its full form, "docker.io/library/busybox:latest"; the OCI form may have others.
func (a *Archive) Names() []registry.Named { return slices.Clone(a.names) }

// Fetch opens a blob, or a manifest.
func (a *Archive) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if m, is := a.made[d.Digest]; is {
		return registry.Verify(bytes.NewReader(m.data), d), nil
	}
	path, has := a.blobs[d.Digest]
	if !has {
		return nil, fmt.Errorf("%s in archive: %w", d.Digest, registry.ErrNotFound)
	}
	f, err := a.tree.open(path)
	if err != nil {
		return nil, err
	}
	return registry.Verify(f, d), nil
}

// Exists tells whether the archive has a blob or manifest of that size.
func (a *Archive) Exists(_ context.Context, d ocispec.Descriptor) (bool, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return false, err
	}
	size, has := a.size(d.Digest)
	return has && size == d.Size, nil
}

// size is how many bytes a blob or manifest has.
func (a *Archive) size(d digest.Digest) (int64, bool) {
	if m, is := a.made[d]; is {
		return int64(len(m.data)), true
	}
	path, has := a.blobs[d]
	if !has {
		return 0, false
	}
	f, err := a.tree.open(path)
	if err != nil {
		return 0, false
	}
	return f.Size(), true
}

// Resolve returns the manifest with a name, in full or as users type it, or with a digest; "" is the only one that there is.
func (a *Archive) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	full := ref
	if named, err := registry.ParseReference(ref); err == nil {
		full = named.String()
	}
	wanted, isDigest := registry.AsDigest(ref)
	for _, n := range a.names {
		if n.Name != "" && (n.Name == ref || n.Name == full) || isDigest && n.Descriptor.Digest == wanted {
			return n.Descriptor, nil
		}
	}
	if isDigest {
		return a.inspect(ctx, wanted)
	}
	if ref != "" {
		return ocispec.Descriptor{}, fmt.Errorf("archive has no image %q: %w", ref, registry.ErrNotFound)
	}
	for _, n := range a.names {
		if n.Descriptor.Digest != a.names[0].Descriptor.Digest {
			return ocispec.Descriptor{}, fmt.Errorf("archive has several images: say which one")
		}
	}
	if len(a.names) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("archive has no image: %w", registry.ErrNotFound)
	}
	return a.names[0].Descriptor, nil
}

// inspect makes the descriptor of a manifest that index.json does not have, because it is in an index, from what is in it.
func (a *Archive) inspect(ctx context.Context, wanted digest.Digest) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{Digest: wanted}
	var has bool
	if d.Size, has = a.size(wanted); has {
		text, err := registry.FetchAll(ctx, a, d)
		if err != nil {
			return d, err
		}
		d.MediaType = registry.MediaTypeOf(text)
	}
	if d.MediaType == "" {
		return d, fmt.Errorf("archive has no manifest %s: %w", wanted, registry.ErrNotFound)
	}
	return d, nil
}

// Tags lists the names.
func (a *Archive) Tags(context.Context) iter.Seq2[string, error] {
	var names []string
	for _, n := range a.names {
		if n.Name != "" {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

// Push is refused.
func (a *Archive) Push(_ context.Context, d ocispec.Descriptor, _ io.Reader) error {
	return fmt.Errorf("add %s to an archive that is read: %w", d.Digest, registry.ErrReadOnly)
}

// Tag is refused.
func (a *Archive) Tag(_ context.Context, _ ocispec.Descriptor, ref string) error {
	return fmt.Errorf("name %s in an archive that is read: %w", ref, registry.ErrReadOnly)
}

// Delete is refused.
func (a *Archive) Delete(_ context.Context, ref string) error {
	return fmt.Errorf("delete %s from an archive that is read: %w", ref, registry.ErrReadOnly)
}
