// SPDX-License-Identifier: Apache-2.0

package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// This file reads an image: from a name over the manifest to configuration and layers, each by the digest that the one before says.

// show prints all that a name leads to, and the three names of each layer.
func show(ctx context.Context, w io.Writer, s registry.Store, name string) (registry.Image, error) {
	d, err := s.Resolve(ctx, name)
	if err != nil {
		return registry.Image{}, err
	}
	image, err := registry.FetchImage(ctx, s, d)
	if err != nil {
		return image, err
	}
	fmt.Fprintf(w, "index.json says that %s is\n", name)
	describe(w, d)
	fmt.Fprintln(w, "which is the manifest. It names the configuration and the layers:")
	for _, d := range append([]ocispec.Descriptor{image.Manifest.Config}, image.Manifest.Layers...) {
		describe(w, d)
	}
	fmt.Fprintln(w, "The configuration says what each layer is when it is not compressed (diff ID); with all layers below it has a chain ID:")
	chain := digest.Digest("")
	for i, d := range image.Manifest.Layers {
		id := image.Config.RootFS.DiffIDs[i]
		chain = next(chain, id)
		fmt.Fprintf(w, "  layer %d  digest   %s\n           diff ID  %s\n           chain ID %s\n", i+1, d.Digest, id, chain)
		if err := twice(ctx, w, s, d, id); err != nil {
			return image, err
		}
	}
	return image, nil
}

// describe prints a descriptor.
func describe(w io.Writer, d ocispec.Descriptor) {
	fmt.Fprintf(w, "  %s %8d bytes  %s\n", d.Digest, d.Size, d.MediaType)
}

// next is the chain ID of a layer over another: the digest of both. The lowest layer's is its diff ID.
func next(below, id digest.Digest) digest.Digest {
	if below == "" {
		return id
	}
	return digestOf([]byte(below + " " + id))
}

// twice decompresses a layer and compresses it in another way: another digest, the same diff ID.
func twice(ctx context.Context, w io.Writer, s registry.Store, d ocispec.Descriptor, id digest.Digest) error {
	blob, err := s.Fetch(ctx, d)
	if err != nil {
		return err
	}
	defer blob.Close()
	archive, err := decompress(blob)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	if digestOf(archive) != id {
		return fmt.Errorf("layer %s is the archive %s, and the configuration says %s", d.Digest, digestOf(archive), id)
	}
	again, err := compress(archive, gzip.BestSpeed)
	fmt.Fprintf(w, "           compressed in another way it has the digest %s, and the same diff ID\n", digestOf(again))
	return err
}

// decompress is the way back, for archives of up to a gigabyte: a small blob can be an endless archive.
func decompress(blob io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(blob)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, 1<<30))
}
