// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The limits of indexes in indexes: how deep they may be, and how many are read to choose a platform.
const (
	maxDepth   = 8
	maxIndexes = 100
)

// ResolvePlatform follows a descriptor through indexes, of which some may be in others, to the manifest for a platform. The
// manifest's descriptor has the annotation [AnnotationIndex] if d was an index. What is no index is returned as it is.
func ResolvePlatform(ctx context.Context, s Store, d ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	if !IsIndex(d.MediaType) {
		return d, nil
	}
	budget := maxIndexes
	entries, err := leaves(ctx, s, d, maxDepth, &budget)
	if err != nil {
		return d, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	chosen, err := ChoosePlatform(entries, want)
	if err != nil {
		return d, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	chosen.Annotations = map[string]string{AnnotationIndex: d.Digest.String()}
	return chosen, nil
}

// leaves lists the entries of an index and of the indexes in it that are no indexes. An index in it that is not there is passed
// over: a folder or archive may have one platform only.
func leaves(ctx context.Context, s Store, d ocispec.Descriptor, depth int, budget *int) ([]ocispec.Descriptor, error) {
	if *budget--; depth == 0 || *budget < 0 {
		return nil, fmt.Errorf("it has indexes in indexes, more than %d deep or %d in all", maxDepth, maxIndexes)
	}
	index, err := FetchIndex(ctx, s, d)
	if err != nil {
		return nil, err
	}
	var all []ocispec.Descriptor
	for _, entry := range index.Manifests {
		if !IsIndex(entry.MediaType) {
			all = append(all, entry)
			continue
		}
		inner, err := leaves(ctx, s, entry, depth-1, budget)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}
