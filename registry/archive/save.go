// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// addDocker adds an image with layers that are not compressed, and a manifest for these.
func (w *writing) addDocker(ctx context.Context, d ocispec.Descriptor, names []string) error {
	image, err := registry.FetchImage(ctx, w.src, d)
	if err != nil {
		return err
	}
	head := image.Manifest.Config
	w.addBlob(head, func(ctx context.Context) (io.ReadCloser, error) { return w.src.Fetch(ctx, head) })
	head = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: head.Digest, Size: head.Size}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: head}
	if m.Layers, err = w.plainLayers(ctx, image); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	top := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Platform: d.Platform}
	w.addBlob(top, inMemory(data))
	w.list(top, names)
	return w.save(m, names)
}

// save adds an image to manifest.json and repositories. Docker's names there have a tag; one by digest has none.
func (w *writing) save(m ocispec.Manifest, names []string) error {
	s := saved{Config: blobPath(m.Config.Digest), Layers: []string{}}
	highest := m.Config.Digest
	for _, layer := range m.Layers {
		s.Layers = append(s.Layers, blobPath(layer.Digest))
		highest = layer.Digest
	}
	for _, name := range names {
		named, err := registry.ParseReference(name)
		if err != nil {
			return err
		}
		tagged, is := named.(reference.NamedTagged)
		if _, byDigest := named.(reference.Digested); !is || byDigest {
			continue
		}
		s.RepoTags = append(s.RepoTags, reference.FamiliarString(tagged))
		repository := reference.FamiliarName(tagged)
		if w.tops[repository] == nil {
			w.tops[repository] = map[string]string{}
		}
		w.tops[repository][tagged.Tag()] = highest.Encoded()
	}
	w.saved = append(w.saved, s)
	return nil
}

// plainLayers adds the layers of an image as they are without compression, and returns their descriptors. A tar has the size of
// a file before its bytes, so each compressed layer is decompressed twice.
func (w *writing) plainLayers(ctx context.Context, image registry.Image) ([]ocispec.Descriptor, error) {
	const readers = 4
	layers := make([]ocispec.Descriptor, len(image.Manifest.Layers))
	failed := make([]error, len(layers))
	free := make(chan struct{}, readers)
	var counting sync.WaitGroup
	for i, layer := range image.Manifest.Layers {
		counting.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			layers[i], failed[i] = w.plainLayer(ctx, layer, image.Config.RootFS.DiffIDs[i])
		})
	}
	counting.Wait()
	for i, layer := range layers {
		if failed[i] != nil {
			return nil, fmt.Errorf("layer %s: %w", image.Manifest.Layers[i].Digest, failed[i])
		}
		compressed := image.Manifest.Layers[i]
		w.addBlob(layer, func(ctx context.Context) (io.ReadCloser, error) {
			r, err := w.openPlain(ctx, compressed)
			if err != nil {
				return nil, err
			}
			return registry.Verify(r, layer), nil
		})
	}
	return layers, nil
}

// plainLayer is the descriptor of a layer without compression.
func (w *writing) plainLayer(ctx context.Context, compressed ocispec.Descriptor, id digest.Digest) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: id, Size: compressed.Size}
	if compressed.Digest == id {
		return d, nil
	}
	r, err := w.openPlain(ctx, compressed)
	if err != nil {
		return d, err
	}
	defer r.Close()
	d.Size, err = io.Copy(io.Discard, until{ctx, r})
	return d, err
}

// plainReader closes what it reads from too.
type plainReader struct {
	io.ReadCloser
	below io.Closer
}

// Close closes both.
func (r plainReader) Close() error { return errors.Join(r.ReadCloser.Close(), r.below.Close()) }

// openPlain opens a layer without its compression, which its bytes tell.
func (w *writing) openPlain(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := w.src.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(blob, 256<<10)
	head, err := buffered.Peek(magicBytes)
	if err != nil && err != io.EOF {
		return nil, errors.Join(err, blob.Close())
	}
	r, err := decompress(buffered, compressionOf(head))
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	return plainReader{r, blob}, nil
}
