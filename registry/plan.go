// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The limits of one copy. A manifest stays in memory until all it names has been copied.
const (
	maxManifests     = 10_000
	maxManifestBytes = 32 << 20
)

// owner is a manifest or index of a plan, with its bytes.
type owner struct {
	descriptor ocispec.Descriptor
	data       []byte
	manifest   ocispec.Manifest // of no index
}

// planned is a blob of a plan, and the manifests that have it.
type planned struct {
	descriptor ocispec.Descriptor
	owners     []*owner
}

// plan is all that a copy copies, each digest once: configurations, layers, and manifests with those before that others name.
type plan struct {
	read      func(context.Context, ocispec.Descriptor) ([]byte, error)
	sparse    bool
	configs   []*planned
	layers    []*planned
	manifests []*owner

	seen  map[digest.Digest]bool     // manifests and indexes
	blobs map[digest.Digest]*planned // of layers
	heads map[digest.Digest]*planned // of configs
	bytes int64
}

// add adds a manifest or index and all below it. Depth is how many indexes may still be below each other.
func (p *plan) add(ctx context.Context, d ocispec.Descriptor, depth int) error {
	if p.seen == nil {
		p.seen, p.blobs, p.heads = map[digest.Digest]bool{}, map[digest.Digest]*planned{}, map[digest.Digest]*planned{}
	}
	switch {
	case p.seen[d.Digest]:
		return nil
	case depth == 0:
		return fmt.Errorf("index %s is in indexes in indexes, more than %d deep", d.Digest, maxDepth)
	case len(p.seen) == maxManifests:
		return fmt.Errorf("there are more than %d manifests in indexes", maxManifests)
	}
	p.seen[d.Digest] = true
	if err := refuseSchema1(d); err != nil {
		return err
	}
	if !IsManifest(d.MediaType) && !IsIndex(d.MediaType) {
		return p.addUnknown(d, depth)
	}
	data, err := p.read(ctx, d)
	if p.sparse && depth < maxDepth && errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if p.bytes += int64(len(data)); p.bytes > maxManifestBytes {
		return fmt.Errorf("the manifests have more than %d bytes in all", maxManifestBytes)
	}
	o := &owner{descriptor: d, data: data}
	if IsIndex(d.MediaType) {
		err = p.addIndex(ctx, o, depth)
	} else {
		err = p.addManifest(o)
	}
	p.manifests = append(p.manifests, o)
	return err
}

// addUnknown adds an entry of an index that is neither manifest nor index: a blob to be copied like a layer. By itself it is no
// image.
func (p *plan) addUnknown(d ocispec.Descriptor, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%s is neither an image nor an index but %q: %w", d.Digest, d.MediaType, ErrUnsupported)
	}
	p.blobs[d.Digest] = &planned{descriptor: d}
	p.layers = append(p.layers, p.blobs[d.Digest])
	return nil
}

// addIndex adds what an index lists.
func (p *plan) addIndex(ctx context.Context, o *owner, depth int) error {
	index, err := DecodeIndex(o.descriptor, o.data)
	if err != nil {
		return err
	}
	for _, entry := range index.Manifests {
		if err := p.add(ctx, entry, depth-1); err != nil {
			return fmt.Errorf("index %s: %w", o.descriptor.Digest, err)
		}
	}
	return nil
}

// addManifest adds the blobs of a manifest.
func (p *plan) addManifest(o *owner) error {
	m, err := DecodeManifest(o.descriptor, o.data)
	if err != nil {
		return err
	}
	o.manifest = m
	for _, layer := range m.Layers {
		if err := refuseForeign(layer); err != nil {
			return fmt.Errorf("manifest %s: %w", o.descriptor.Digest, err)
		}
	}
	p.configs = appendBlob(p.configs, p.heads, m.Config, o)
	for _, layer := range m.Layers {
		p.layers = appendBlob(p.layers, p.blobs, layer, o)
	}
	return nil
}

// appendBlob adds a blob of a manifest to a list, or the manifest to the owners of the blob.
func appendBlob(list []*planned, known map[digest.Digest]*planned, d ocispec.Descriptor, o *owner) []*planned {
	b := known[d.Digest]
	if b == nil {
		b = &planned{descriptor: d}
		known[d.Digest] = b
		list = append(list, b)
	}
	if !slices.Contains(b.owners, o) {
		b.owners = append(b.owners, o)
	}
	return list
}
