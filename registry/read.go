// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MaxManifest is how many bytes a manifest, an index or a configuration may have at most. The distribution-spec lets a
// registry refuse manifests above 4 MiB; the largest ones in use have some hundred kilobytes.
const MaxManifest = 4 << 20

// allFetcher is a store that reads a small blob at once faster than through a reader, and verifies it as well.
type allFetcher interface {
	FetchAll(ctx context.Context, d ocispec.Descriptor) ([]byte, error)
}

// FetchAll reads a small blob or manifest: one of at most [MaxManifest] bytes.
func FetchAll(ctx context.Context, s Store, d ocispec.Descriptor) ([]byte, error) {
	if err := CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > MaxManifest {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", d.Digest, d.Size, MaxManifest)
	}
	if f, is := s.(allFetcher); is {
		return f.FetchAll(ctx, d)
	}
	r, err := s.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, d.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", d.Digest, err)
	}
	// The verdict on the digest comes with the end.
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", d.Digest, notEnd(err))
	}
	return data, nil
}

// notEnd is the error of a read that should have met the end.
func notEnd(err error) error {
	if err == nil {
		return errors.New("it is longer than its descriptor says")
	}
	return err
}

// The limits of what a manifest, an index or a configuration may have in it: decoded, an empty object of two bytes takes some hundred.
const (
	maxObjects = 40_000
	maxCommas  = 100_000
)

// CheckJSON refuses a text, of a manifest or the like that a stranger has made, which would take very much memory once decoded. Real
// ones have some thousand objects at most. To be called before it is decoded.
func CheckJSON(text []byte) error {
	if bytes.Count(text, []byte("{")) > maxObjects || bytes.Count(text, []byte(",")) > maxCommas {
		return fmt.Errorf("it has more than %d objects or %d commas: such a document is not read", maxObjects, maxCommas)
	}
	return nil
}

// decode is [CheckJSON] and then json.Unmarshal.
func decode(text []byte, to any) error {
	if err := CheckJSON(text); err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// FetchManifest reads the manifest of an image or artifact.
func FetchManifest(ctx context.Context, s Store, d ocispec.Descriptor) (ocispec.Manifest, error) {
	data, err := FetchAll(ctx, s, d)
	if err != nil {
		return ocispec.Manifest{}, err
	}
	return DecodeManifest(d, data)
}

// FetchIndex reads an index.
func FetchIndex(ctx context.Context, s Store, d ocispec.Descriptor) (ocispec.Index, error) {
	data, err := FetchAll(ctx, s, d)
	if err != nil {
		return ocispec.Index{}, err
	}
	return DecodeIndex(d, data)
}

// FetchConfig reads the configuration of an image, by the descriptor in its manifest.
func FetchConfig(ctx context.Context, s Store, d ocispec.Descriptor) (ocispec.Image, error) {
	data, err := FetchAll(ctx, s, d)
	if err != nil {
		return ocispec.Image{}, err
	}
	return DecodeConfig(d, data)
}

// document has what tells manifests and indexes apart, whatever their descriptor says.
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Config        json.RawMessage `json:"config"`
	Layers        json.RawMessage `json:"layers"`
	Manifests     json.RawMessage `json:"manifests"`
	FSLayers      json.RawMessage `json:"fsLayers"` // schema 1
}

// check refuses bytes that two readers could take for different things: an index and a manifest in one, or other than the
// descriptor says (image-spec, manifest.md, "mediaType").
func (got document) check(d ocispec.Descriptor) error {
	switch {
	case got.SchemaVersion == 1 || got.FSLayers != nil:
		return refuseSchema1(ocispec.Descriptor{MediaType: schema1, Digest: d.Digest})
	case got.MediaType != "" && got.MediaType != d.MediaType:
		return fmt.Errorf("%s says it is %q, its descriptor says %q", d.Digest, got.MediaType, d.MediaType)
	case got.Manifests != nil && (got.Layers != nil || got.Config != nil):
		return fmt.Errorf("%s is a manifest and an index in one", d.Digest)
	case IsIndex(d.MediaType) && got.Manifests == nil:
		return fmt.Errorf("%s is no index: it has no list of manifests", d.Digest)
	case IsManifest(d.MediaType) && got.Config == nil:
		return fmt.Errorf("%s is no manifest: it has no configuration", d.Digest)
	}
	return nil
}

// DecodeManifest reads the bytes of a manifest with the descriptor d. All descriptors in it are well-formed.
func DecodeManifest(d ocispec.Descriptor, data []byte) (ocispec.Manifest, error) {
	if !IsManifest(d.MediaType) {
		return ocispec.Manifest{}, notA("the manifest of an image", d)
	}
	var got struct {
		ocispec.Manifest
		Manifests json.RawMessage `json:"manifests"`
		FSLayers  json.RawMessage `json:"fsLayers"`
	}
	if err := decode(data, &got); err != nil {
		return ocispec.Manifest{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m := got.Manifest
	shape := document{SchemaVersion: m.SchemaVersion, MediaType: m.MediaType, Manifests: got.Manifests, FSLayers: got.FSLayers}
	if m.Config.Digest != "" {
		shape.Config = json.RawMessage{}
	}
	if m.Layers != nil {
		shape.Layers = json.RawMessage{}
	}
	if err := shape.check(d); err != nil {
		return ocispec.Manifest{}, err
	}
	for _, b := range append(m.Layers[:len(m.Layers):len(m.Layers)], m.Config) {
		if err := CheckDescriptor(b); err != nil {
			return ocispec.Manifest{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
	}
	return m, nil
}

// DecodeIndex reads the bytes of an index with the descriptor d. All descriptors in it are well-formed.
func DecodeIndex(d ocispec.Descriptor, data []byte) (ocispec.Index, error) {
	if !IsIndex(d.MediaType) {
		return ocispec.Index{}, notA("an index", d)
	}
	var shape document
	if err := decode(data, &shape); err != nil {
		return ocispec.Index{}, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	if err := shape.check(d); err != nil {
		return ocispec.Index{}, err
	}
	var x ocispec.Index
	if err := json.Unmarshal(data, &x); err != nil {
		return ocispec.Index{}, fmt.Errorf("index %s: %w", d.Digest, err)
	}
	for _, b := range x.Manifests {
		if err := CheckDescriptor(b); err != nil {
			return ocispec.Index{}, fmt.Errorf("index %s: %w", d.Digest, err)
		}
	}
	return x, nil
}

// notA is the error for a document of another kind.
func notA(kind string, d ocispec.Descriptor) error {
	if err := refuseSchema1(d); err != nil {
		return err
	}
	return fmt.Errorf("%s is not %s but %q", d.Digest, kind, d.MediaType)
}

// DecodeConfig reads the bytes of an image's configuration with the descriptor d. All diff IDs in it are well-formed.
func DecodeConfig(d ocispec.Descriptor, data []byte) (ocispec.Image, error) {
	var image ocispec.Image
	if !IsConfig(d.MediaType) {
		return image, fmt.Errorf("%s is not the configuration of an image but %q", d.Digest, d.MediaType)
	}
	if err := decode(data, &image); err != nil {
		return image, fmt.Errorf("configuration %s: %w", d.Digest, err)
	}
	for i, id := range image.RootFS.DiffIDs {
		if err := checkDigest(id); err != nil {
			return image, fmt.Errorf("configuration %s: diff ID %d is %q: %w", d.Digest, i, id, err)
		}
	}
	return image, nil
}

// MediaTypeOf tells by its bytes what a manifest or index is; "" if it is neither.
func MediaTypeOf(data []byte) string {
	var got document
	if json.Unmarshal(data, &got) != nil || got.SchemaVersion != 2 {
		return ""
	}
	switch {
	case IsManifest(got.MediaType), IsIndex(got.MediaType):
		return got.MediaType
	case got.MediaType != "":
		return ""
	case got.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case got.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return ""
}
