// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Bytes are n bytes that depend on the seed and don't compress.
func Bytes(seed string, n int) []byte {
	var all []byte
	for i := 0; len(all) < n; i++ {
		block := sha256.Sum256(fmt.Appendf(nil, "%s %d", seed, i))
		all = append(all, block[:]...)
	}
	return all[:n]
}

// Describe is the descriptor of a blob.
func Describe(data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// Sample pushes an image with a layer of each of the bytes, and returns the descriptor of its manifest.
func Sample(t testing.TB, s registry.Store, platform string, layers ...[]byte) ocispec.Descriptor {
	t.Helper()
	p, err := registry.ParsePlatform(platform)
	if err != nil {
		t.Fatal(err)
	}
	config := ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	var descriptors []ocispec.Descriptor
	for _, layer := range layers {
		d := Describe(layer)
		push(t, s, d, layer)
		descriptors = append(descriptors, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
	}
	d, err := registry.PushImage(t.Context(), s, config, descriptors, nil)
	if err != nil {
		t.Fatalf("push image: %v", err)
	}
	d.Platform = &p
	return d
}

// Index pushes an index of manifests and returns its descriptor.
func Index(t testing.TB, s registry.Store, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	d, err := registry.PushIndex(t.Context(), s, ocispec.Index{Manifests: manifests})
	if err != nil {
		t.Fatalf("push index: %v", err)
	}
	return d
}

// Same fails the test unless a store has a manifest or index, all below it, and the right bytes of each.
func Same(t testing.TB, s registry.Store, top ocispec.Descriptor) {
	t.Helper()
	for work := []ocispec.Descriptor{top}; len(work) > 0; work = work[1:] {
		fetch(t, s, work[0])
		if !registry.MayLink(work[0]) {
			continue
		}
		below, err := registry.Links(t.Context(), s, work[0])
		if err != nil {
			t.Fatalf("links of %s: %v", work[0].Digest, err)
		}
		work = append(work, below...)
	}
}

// push pushes bytes, or fails the test.
func push(t testing.TB, s registry.Store, d ocispec.Descriptor, data []byte) {
	t.Helper()
	if err := s.Push(t.Context(), d, bytes.NewReader(data)); err != nil {
		t.Fatalf("push %s: %v", d.Digest, err)
	}
}

// fetch fetches a blob, looks at its digest itself, and fails the test if that is wrong.
func fetch(t testing.TB, s registry.Store, d ocispec.Descriptor) []byte {
	t.Helper()
	r, err := s.Fetch(t.Context(), d)
	if err != nil {
		t.Fatalf("fetch %s: %v", d.Digest, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", d.Digest, err)
	}
	if got := digest.FromBytes(data); got != d.Digest {
		t.Fatalf("fetched %s, got %s", d.Digest, got)
	}
	return data
}

// exists asks for a blob, and fails the test if the answer is another.
func exists(t testing.TB, s registry.Store, d ocispec.Descriptor, want bool) {
	t.Helper()
	if got, err := s.Exists(context.WithoutCancel(t.Context()), d); err != nil || got != want {
		t.Fatalf("exists %s: %v, %v; want %v", d.Digest, got, err, want)
	}
}
