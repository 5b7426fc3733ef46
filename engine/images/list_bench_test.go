// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/engine/images"
	"stave/registry"
	"stave/registry/layout"
)

// BenchmarkList lists a thousand images, each with a configuration of its own, as a command does that starts anew.
func BenchmarkList(b *testing.B) {
	state := b.TempDir()
	fill(b, state, 1000)
	for b.Loop() {
		s, err := images.Open(state, images.Options{})
		if err != nil {
			b.Fatal(err)
		}
		list, err := s.List(b.Context(), images.Filter{})
		if err != nil || len(list) != 1000 {
			b.Fatalf("%d images, %v", len(list), err)
		}
	}
}

// fill puts images into a state folder, as large as their documents are in life; their layers are not there.
func fill(b *testing.B, state string, number int) {
	b.Helper()
	store, err := layout.Open(filepath.Join(state, "images"))
	if err != nil {
		b.Fatal(err)
	}
	var blobs []ocispec.Descriptor
	for j := range 8 {
		d, err := registry.PushBytes(b.Context(), store, ocispec.MediaTypeImageLayerGzip, []byte{byte(j)})
		if err != nil {
			b.Fatal(err)
		}
		blobs = append(blobs, d)
	}
	for i := range number {
		c := images.Config{Image: ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}}
		for j := range blobs { // the upper half is the image's own
			c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromString(fmt.Sprint(j, i*(j/4))))
			c.History = append(c.History, ocispec.History{CreatedBy: "RUN /bin/sh -c apt-get update && apt-get install -y something of a usual length # buildkit"})
			c.Config.Env = append(c.Config.Env, fmt.Sprintf("VARIABLE_%d=value", j))
		}
		config, err := registry.PushBytes(b.Context(), store, ocispec.MediaTypeImageConfig, encode(b, c))
		if err != nil {
			b.Fatal(err)
		}
		m, err := registry.PushManifest(b.Context(), store, ocispec.Manifest{Config: config, Layers: blobs})
		if err != nil {
			b.Fatal(err)
		}
		if err := store.Tag(b.Context(), m, fmt.Sprintf("docker.io/library/app%d:latest", i)); err != nil {
			b.Fatal(err)
		}
	}
}
