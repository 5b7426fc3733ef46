// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layerTar is an uncompressed layer that is being written.
type layerTar struct {
	bytes.Buffer
	archive *tar.Writer
}

// newLayer begins a layer.
func newLayer() *layerTar {
	l := &layerTar{}
	l.archive = tar.NewWriter(&l.Buffer)
	return l
}

// add writes one entry; what a header leaves out is what most entries have.
func (l *layerTar) add(t testing.TB, h tar.Header, content []byte) {
	t.Helper()
	if h.Mode == 0 {
		h.Mode = 0o755
	}
	h.Size, h.ModTime = int64(len(content)), time.Unix(1_700_000_000, 0)
	if err := l.archive.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	if _, err := l.archive.Write(content); err != nil {
		t.Fatal(err)
	}
}

// folder adds a folder, and file a file.
func (l *layerTar) folder(t testing.TB, name string) {
	t.Helper()
	l.add(t, tar.Header{Typeflag: tar.TypeDir, Name: name + "/"}, nil)
}

// file adds a file.
func (l *layerTar) file(t testing.TB, name string, content []byte) {
	t.Helper()
	l.add(t, tar.Header{Typeflag: tar.TypeReg, Name: name}, content)
}

// done ends the layer.
func (l *layerTar) done(t testing.TB) []byte {
	t.Helper()
	if err := l.archive.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Bytes()
}

// shell is a layer with a static busybox, and what a container needs besides.
func shell(t testing.TB) []byte {
	t.Helper()
	found, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(found)
	if err != nil {
		t.Fatal(err)
	}
	l := newLayer()
	for _, dir := range []string{"bin", "etc", "tmp", "dev", "proc", "sys"} {
		l.folder(t, dir)
	}
	l.file(t, "bin/busybox", content)
	for _, name := range []string{"sh", "true", "cat", "rm", "dd", "mkdir", "ls", "echo", "mv", "ln", "chmod", "touch"} {
		l.add(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
	}
	return l.done(t)
}

// blobs are the blobs of an archive that is being made.
type blobs map[digest.Digest][]byte

// add adds one blob and describes it.
func (b blobs) add(mediaType string, data []byte) ocispec.Descriptor {
	d := digest.FromBytes(data)
	b[d] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// addJSON adds a document.
func (b blobs) addJSON(t testing.TB, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b.add(mediaType, data)
}

// image adds an image of these layers, and describes it by its name.
func (b blobs) image(t testing.TB, name string, layers ...[]byte) ocispec.Descriptor {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config := ocispec.Image{Author: name, Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: ocispec.RootFS{Type: "layers"}}
	config.Config.Cmd, config.Config.Env = []string{"sh"}, []string{"PATH=/bin"}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(layer); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		m.Layers = append(m.Layers, b.add(ocispec.MediaTypeImageLayerGzip, packed.Bytes()))
	}
	m.Config = b.addJSON(t, ocispec.MediaTypeImageConfig, config)
	d := b.addJSON(t, ocispec.MediaTypeImageManifest, m)
	d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	return d
}

// archive writes an OCI archive, compressed if its name says so.
func (b blobs) archive(t testing.TB, name string, images ...ocispec.Descriptor) {
	t.Helper()
	l := newLayer()
	l.file(t, ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: images})
	if err != nil {
		t.Fatal(err)
	}
	l.file(t, ocispec.ImageIndexFile, index)
	for d, data := range b {
		l.file(t, "blobs/"+d.Algorithm().String()+"/"+d.Encoded(), data)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var w io.Writer = f
	if filepath.Ext(name) == ".gz" {
		z := gzip.NewWriter(f)
		defer z.Close()
		w = z
	}
	if _, err := w.Write(l.done(t)); err != nil {
		t.Fatal(err)
	}
}

// victims writes an archive of two images, victim:1 and victim:2, which share the lower two of their four layers. The layers have what
// makes unpacking take its time: many files, links, and files that take others away.
func victims(t testing.TB, name string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	lower := newLayer()
	for i := range 6 {
		lower.folder(t, fmt.Sprintf("data%d", i))
		for j := range 25 {
			content := make([]byte, random.Uint64()%20_000)
			_, _ = random.Read(content) // never fails
			lower.file(t, fmt.Sprintf("data%d/file%d", i, j), content)
		}
	}
	shared := [][]byte{shell(t), lower.done(t)}
	all := blobs{}
	var images []ocispec.Descriptor
	for i := 1; i <= 2; i++ {
		middle, upper := newLayer(), newLayer()
		for j := range 60 {
			content := make([]byte, random.Uint64()%40_000)
			_, _ = random.Read(content)
			middle.file(t, fmt.Sprintf("own%d-%d", i, j), content)
		}
		upper.folder(t, "data1")
		upper.file(t, "data1/.wh..wh..opq", nil)
		upper.file(t, "data1/new", []byte("new"))
		upper.folder(t, "data2")
		upper.file(t, "data2/.wh.file3", nil)
		upper.file(t, ".wh.data3", nil)
		upper.file(t, "first", []byte("twice there"))
		upper.add(t, tar.Header{Typeflag: tar.TypeLink, Name: "second", Linkname: "first"}, nil)
		upper.add(t, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3, Mode: 0o666}, nil)
		images = append(images, all.image(t, fmt.Sprintf("victim:%d", i), append(shared, middle.done(t), upper.done(t))...))
	}
	all.archive(t, name, images...)
}
