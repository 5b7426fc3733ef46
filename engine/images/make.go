// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/unionfs"
)

// making is an image that is made here: the layers of another, one more on top, and a configuration.
type making struct {
	images  *Images
	store   store // a lease: nothing of it is collected before the image has a name
	layers  []ocispec.Descriptor
	config  *Config
	release func() error
}

// begin leases the store for an image to be made.
func (s *Images) begin(ctx context.Context) (*making, error) {
	view, release, err := s.lease(ctx)
	if err != nil {
		return nil, err
	}
	return &making{images: s, store: view, config: &Config{}, release: release}, nil
}

// add puts a layer on top: the uncompressed tar archive that write writes.
func (m *making) add(ctx context.Context, write func(io.Writer) error) error {
	d, diffID, err := registry.PushLayer(ctx, m.store, write)
	if err != nil {
		return err
	}
	m.layers = append(m.layers, d)
	m.config.RootFS.Type = "layers"
	m.config.RootFS.DiffIDs = append(m.config.RootFS.DiffIDs, diffID)
	return nil
}

// finish keeps configuration and manifest, unpacks what is not unpacked, and gives the image a name, if it is to have one.
func (m *making) finish(ctx context.Context, name reference.NamedTagged) (digest.Digest, error) {
	data, err := json.Marshal(m.config)
	if err != nil {
		return "", err
	}
	config, err := registry.PushBytes(ctx, m.store, ocispec.MediaTypeImageConfig, data)
	if err != nil {
		return "", fmt.Errorf("keep the configuration: %w", err)
	}
	if err := m.images.hold(config.Digest, unionfs.ChainIDs(m.config.RootFS.DiffIDs)); err != nil {
		return "", err
	}
	if err := m.images.unpackAll(ctx, m.store, m.layers, m.config.RootFS.DiffIDs); err != nil {
		return "", err
	}
	manifest, err := registry.PushManifest(ctx, m.store, ocispec.Manifest{Config: config, Layers: ociLayers(m.layers)})
	if err != nil {
		return "", fmt.Errorf("keep the manifest: %w", err)
	}
	names := manifest.Digest.String()
	if name != nil {
		names = name.String()
	}
	return config.Digest, m.images.tag(ctx, manifest, names)
}

// ociLayers gives layers of Docker's media types those of OCI, as a manifest of OCI wants them.
func ociLayers(layers []ocispec.Descriptor) []ocispec.Descriptor {
	list := make([]ocispec.Descriptor, len(layers))
	for i, d := range layers {
		switch {
		case d.MediaType == registry.MediaTypeDockerLayer:
			d.MediaType = ocispec.MediaTypeImageLayer
		case d.MediaType == registry.MediaTypeDockerLayerGzip:
			d.MediaType = ocispec.MediaTypeImageLayerGzip
		case strings.HasPrefix(d.MediaType, registry.MediaTypeDockerLayer) && strings.HasSuffix(d.MediaType, "zstd"):
			d.MediaType = ocispec.MediaTypeImageLayerZstd
		}
		list[i] = d
	}
	return list
}
