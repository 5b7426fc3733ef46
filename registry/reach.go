// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// links are the descriptors that a manifest or index of any kind has of what it needs. A subject is not needed.
type links struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	Blobs     []ocispec.Descriptor `json:"blobs"` // of an artifact manifest before image-spec 1.1
}

// Reachable lists the digests of the roots and of all that these name, and so on: what a garbage collection has to keep. What the
// store lacks is listed too. A manifest that it has but can't read is an error, since what it names would be lost.
func Reachable(ctx context.Context, s Store, roots ...ocispec.Descriptor) (map[digest.Digest]bool, error) {
	marked := map[digest.Digest]bool{}
	read := map[digest.Digest]bool{}
	for work := roots; len(work) > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := work[len(work)-1]
		work = work[:len(work)-1]
		marked[d.Digest] = true
		if read[d.Digest] || !MayLink(d) {
			continue
		}
		read[d.Digest] = true
		below, err := Links(ctx, s, d)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("what is needed for %s is not known: %w", d.Digest, err)
		}
		work = append(work, below...)
	}
	return marked, nil
}

// MayLink says whether something may name others: a manifest, an index, or a document of a kind that nobody has told.
func MayLink(d ocispec.Descriptor) bool {
	switch d.MediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, MediaTypeDockerManifest, MediaTypeDockerIndex,
		"application/vnd.oci.artifact.manifest.v1+json", "":
		return d.Size <= MaxManifest
	}
	return false
}

// Links lists what a manifest or index names and needs: configuration and layers, or manifests. Bytes that are no JSON object
// name nothing.
func Links(ctx context.Context, s Store, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	data, err := FetchAll(ctx, s, d)
	if err != nil {
		return nil, err
	}
	if err := CheckJSON(data); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Digest, err)
	}
	var l links
	if json.Unmarshal(data, &l) != nil {
		return nil, nil // with the right digest: it was never anything else
	}
	all := append(append(l.Layers, l.Manifests...), l.Blobs...)
	if l.Config != nil {
		all = append(all, *l.Config)
	}
	return all, nil
}

// Present lists what a manifest or index names and the store has. That is all of it, or [ErrNotFound]; only an index may name what is not
// there, as one does of which one platform's image was copied.
func Present(ctx context.Context, s Store, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !MayLink(d) {
		return nil, nil
	}
	all, err := Links(ctx, s, d)
	if err != nil {
		return nil, err
	}
	var there []ocispec.Descriptor
	for _, b := range all {
		has, err := s.Exists(ctx, b)
		if err == nil && !has && !IsIndex(d.MediaType) {
			err = fmt.Errorf("manifest %s: its blob %s: %w", d.Digest, b.Digest, ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		if has {
			there = append(there, b)
		}
	}
	return there, nil
}
