// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// TestPushLayer compresses a layer: what is stored is gzip of the same bytes, the diff ID theirs.
func TestPushLayer(t *testing.T) {
	s := memory.New()
	layer := bytes.Repeat([]byte("layer "), 100_000)
	d, id, err := registry.PushLayer(t.Context(), s, func(w io.Writer) error {
		_, err := w.Write(layer)
		return err
	})
	if err != nil || id != digest.FromBytes(layer) || d.MediaType != ocispec.MediaTypeImageLayerGzip || d.Size > int64(len(layer)/10) {
		t.Fatalf("%+v, diff ID %s, %v", d, id, err)
	}
	r, err := s.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, layer) {
		t.Errorf("stored %d bytes, %v", len(got), err)
	}
	failure := errors.New("the container is gone")
	if _, _, err := registry.PushLayer(t.Context(), s, func(w io.Writer) error {
		_, err := w.Write(layer)
		return errors.Join(err, failure)
	}); !errors.Is(err, failure) {
		t.Errorf("%v, want the writer's error", err)
	}
}

// TestPushImage makes an image and reads it again.
func TestPushImage(t *testing.T) {
	s := memory.New()
	d := storetest.Sample(t, s, "linux/arm64", []byte("one"), []byte("two"))
	image, err := registry.FetchImage(t.Context(), s, d)
	if err != nil || image.Config.Architecture != "arm64" || len(image.Manifest.Layers) != 2 || image.Manifest.SchemaVersion != 2 {
		t.Errorf("%+v, %v", image, err)
	}
	_, err = registry.PushImage(t.Context(), s, ocispec.Image{}, image.Manifest.Layers, nil)
	if err == nil || !strings.Contains(err.Error(), "2 layers but 0 diff IDs") {
		t.Errorf("image with fewer diff IDs than layers: %v", err)
	}
	odd, err := registry.PushManifest(t.Context(), s, ocispec.Manifest{Config: image.Manifest.Config})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.FetchImage(t.Context(), s, odd); err == nil || !strings.Contains(err.Error(), "0 layers but 2 diff IDs") {
		t.Errorf("image with more diff IDs than layers: %v", err)
	}
}

// TestPushLayerSilent pushes what comes from a pipe into which nobody writes, until that is cancelled.
func TestPushLayerSilent(t *testing.T) {
	silent, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, _, err := registry.PushLayer(ctx, memory.New(), func(to io.Writer) error {
		if _, err := io.WriteString(to, "the beginning"); err != nil {
			return err
		}
		cancel(enough)
		_, err := io.Copy(to, silent)
		return err
	})
	if !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}
