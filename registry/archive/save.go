// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// addDocker adds an image with layers that are not compressed.
func (w *writing) addDocker(ctx context.Context, d ocispec.Descriptor, names []string) error {
	image, err := registry.FetchImage(ctx, w.src, d)
	if err != nil {
		return err
	}
	head := image.Manifest.Config
	s := saved{Config: head.Digest.Encoded() + ".json", Layers: []string{}}
	w.items[s.Config] = item{head, w.fetch(head)}
	layers, err := w.plainLayers(ctx, image)
	if err != nil {
		return err
	}
	highest := head.Digest
	for i, layer := range layers {
		highest = layer.Digest
		path := highest.Encoded() + "/layer.tar"
		s.Layers = append(s.Layers, path)
		w.items[path] = item{layer, w.openVerified(image.Manifest.Layers[i], layer)}
	}
	if s.RepoTags, err = w.tag(names, highest.Encoded()); err != nil {
		return err
	}
	w.saved = append(w.saved, s)
	return nil
}

// tag adds an image to repositories, by its highest layer, and returns its names. Docker's names here have a tag; one by digest is
// left out. They are written in full: Docker, which writes "busybox:latest" itself, reads both, and podman would make
// "localhost/busybox:latest" of the short one.
func (w *writing) tag(names []string, highest string) ([]string, error) {
	var tags []string
	for _, name := range names {
		named, err := registry.ParseReference(name)
		if err != nil {
			return nil, err
		}
		tagged, is := named.(reference.NamedTagged)
		if _, byDigest := named.(reference.Digested); !is || byDigest {
			continue
		}
		tags = append(tags, tagged.String())
		repository := tagged.Name()
		if w.tops[repository] == nil {
			w.tops[repository] = map[string]string{}
		}
		w.tops[repository][tagged.Tag()] = highest
	}
	return tags, nil
}

// plainLayers describes the layers of an image as they are without compression. A tar has the size of
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
	for i, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", image.Manifest.Layers[i].Digest, err)
		}
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

// openVerified opens a layer without its compression, and compares it with what it should then be.
func (w *writing) openVerified(compressed, layer ocispec.Descriptor) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, err := w.openPlain(ctx, compressed)
		if err != nil {
			return nil, err
		}
		return registry.Verify(r, layer), nil
	}
}

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
