// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Ingester is a store that takes bytes whose digest nobody knows yet.
type Ingester interface {
	// Ingest keeps what r gives, to its end, and returns its descriptor with the media type.
	Ingest(ctx context.Context, mediaType string, r io.Reader) (ocispec.Descriptor, error)
}

// Image is an image's manifest and configuration.
type Image struct {
	Descriptor ocispec.Descriptor // of the manifest
	Manifest   ocispec.Manifest
	Config     ocispec.Image
}

// FetchImage reads the manifest and the configuration of an image, and sees that the configuration has as many diff IDs as the
// manifest has layers.
func FetchImage(ctx context.Context, s Store, d ocispec.Descriptor) (Image, error) {
	m, err := FetchManifest(ctx, s, d)
	if err != nil {
		return Image{}, err
	}
	config, err := FetchConfig(ctx, s, m.Config)
	if err != nil {
		return Image{}, err
	}
	if layers, ids := len(m.Layers), len(config.RootFS.DiffIDs); layers != ids {
		return Image{}, fmt.Errorf("image %s has %d layers but %d diff IDs in its configuration", d.Digest, layers, ids)
	}
	return Image{d, m, config}, nil
}

// PushBytes pushes a small blob or manifest and returns its descriptor.
func PushBytes(ctx context.Context, s Store, mediaType string, data []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, s.Push(ctx, d, bytes.NewReader(data))
}

// lastWords is how long write has to end in [PushLayer] when nobody wants its bytes any more.
const lastWords = time.Second

// PushLayer compresses with gzip what write writes, an uncompressed tar, pushes it as a layer, and returns its descriptor and diff ID.
// When ctx is done the next write fails. If write doesn't end soon after, since it waits for a terminal or a pipe that is silent, it is
// left to itself.
func PushLayer(ctx context.Context, s Ingester, write func(io.Writer) error) (ocispec.Descriptor, digest.Digest, error) {
	id := digest.Canonical.Digester()
	pr, pw := io.Pipe()
	defer context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })()
	written := make(chan struct{})
	go func() {
		defer close(written)
		z := gzip.NewWriter(pw)
		err := write(io.MultiWriter(id.Hash(), z))
		if err == nil {
			err = z.Close()
		}
		pw.CloseWithError(err)
	}()
	d, err := s.Ingest(ctx, ocispec.MediaTypeImageLayerGzip, pr)
	pr.CloseWithError(err) // where Ingest failed the next write does too
	if err != nil {
		leave(ctx, written)
		return d, "", err
	}
	<-written // it has closed the pipe
	return d, id.Digest(), nil
}

// leave waits until something is done; if ctx is, not for long.
func leave(ctx context.Context, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(lastWords):
	}
}

// PushImage pushes the configuration and the manifest of an image whose layers the store has, and returns the manifest's
// descriptor. Config.RootFS must have a diff ID for each layer. Who wants a name for it tags it.
func PushImage(ctx context.Context, s Store, config ocispec.Image, layers []ocispec.Descriptor, annotations map[string]string) (ocispec.Descriptor, error) {
	if len(layers) != len(config.RootFS.DiffIDs) {
		return ocispec.Descriptor{}, fmt.Errorf("new image has %d layers but %d diff IDs in its configuration", len(layers), len(config.RootFS.DiffIDs))
	}
	data, err := json.Marshal(config)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("configuration of the new image: %w", err)
	}
	head, err := PushBytes(ctx, s, ocispec.MediaTypeImageConfig, data)
	if err != nil {
		return head, err
	}
	return PushManifest(ctx, s, ocispec.Manifest{Config: head, Layers: layers, Annotations: annotations})
}

// PushManifest pushes a manifest; schema version and media type it fills in.
func PushManifest(ctx context.Context, s Store, m ocispec.Manifest) (ocispec.Descriptor, error) {
	m.Versioned = specs.Versioned{SchemaVersion: 2}
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageManifest
	}
	if m.Layers == nil {
		m.Layers = []ocispec.Descriptor{} // the specification wants a list
	}
	data, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("new manifest: %w", err)
	}
	d, err := PushBytes(ctx, s, m.MediaType, data)
	d.ArtifactType = m.ArtifactType
	return d, err
}

// PushIndex pushes an index; schema version and media type it fills in.
func PushIndex(ctx context.Context, s Store, x ocispec.Index) (ocispec.Descriptor, error) {
	x.Versioned = specs.Versioned{SchemaVersion: 2}
	if x.MediaType == "" {
		x.MediaType = ocispec.MediaTypeImageIndex
	}
	if x.Manifests == nil {
		x.Manifests = []ocispec.Descriptor{}
	}
	data, err := json.Marshal(x)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("new index: %w", err)
	}
	return PushBytes(ctx, s, x.MediaType, data)
}
