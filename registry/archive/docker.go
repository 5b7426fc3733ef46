// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// saved is an image in manifest.json.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// readDocker reads manifest.json and makes a manifest for each image.
func (a *Archive) readDocker(ctx context.Context) error {
	text, err := a.tree.read("manifest.json")
	if err != nil {
		return err
	}
	var images []saved
	if err := decode(text, &images); err != nil {
		return fmt.Errorf("archive: manifest.json: %w", err)
	}
	for i, image := range images {
		if err := a.readSaved(ctx, image); err != nil {
			return fmt.Errorf("archive: image %d of manifest.json: %w", i, err)
		}
	}
	return nil
}

// readSaved makes the manifest of an image. The configuration's bytes stay as they are, and so the image's ID.
func (a *Archive) readSaved(ctx context.Context, image saved) error {
	text, err := a.tree.read(image.Config)
	if err != nil {
		return err
	}
	head := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(text), Size: int64(len(text))}
	config, err := registry.DecodeConfig(head, text)
	if err != nil {
		return err
	}
	if ids := len(config.RootFS.DiffIDs); ids != len(image.Layers) {
		return fmt.Errorf("it has %d layers but %d diff IDs in its configuration", len(image.Layers), ids)
	}
	a.blobs[head.Digest] = image.Config
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: head, Layers: []ocispec.Descriptor{}}
	for i, path := range image.Layers {
		layer, err := a.layer(ctx, path, config.RootFS.DiffIDs[i])
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		m.Layers = append(m.Layers, layer)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	a.made[d.Digest] = made{data, m.MediaType}
	return a.nameSaved(image.RepoTags, d)
}

// nameSaved gives an image the names that it had when it was saved.
func (a *Archive) nameSaved(tags []string, d ocispec.Descriptor) error {
	if len(tags) == 0 {
		a.names = append(a.names, registry.Named{Descriptor: d})
	}
	for _, tag := range tags {
		named, err := registry.ParseReference(tag)
		if err != nil {
			return err
		}
		a.names = append(a.names, registry.Named{Name: named.String(), Descriptor: d})
	}
	return nil
}

// layer makes the descriptor of a layer. That of one that is not compressed, as usual, has the diff ID for its digest; another
// has to be hashed.
func (a *Archive) layer(ctx context.Context, path string, id digest.Digest) (ocispec.Descriptor, error) {
	f, err := a.tree.open(path)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: id, Size: f.Size()}
	head := make([]byte, magicBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return d, err
	}
	c := compressionOf(head[:n])
	switch c {
	case plain:
		a.blobs[id] = path
		return d, nil
	case gzipped:
		d.MediaType = ocispec.MediaTypeImageLayerGzip
	case zstded:
		d.MediaType = ocispec.MediaTypeImageLayerZstd
	default:
		return d, fmt.Errorf("%s is compressed with neither gzip nor zstd: %w", path, registry.ErrUnsupported)
	}
	d.Digest, err = a.hash(ctx, f)
	a.blobs[d.Digest] = path
	return d, err
}

// hash hashes a layer, once for all images that have it.
func (a *Archive) hash(ctx context.Context, f *io.SectionReader) (digest.Digest, error) {
	_, begin, _ := f.Outer()
	if d, known := a.hashed[begin]; known {
		return d, nil
	}
	d, err := digest.FromReader(until{ctx, f})
	if err == nil {
		a.hashed[begin] = d
	}
	return d, err
}
