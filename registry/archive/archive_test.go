// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/archive"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// write writes an archive to memory.
func write(t testing.TB, s registry.Store, images []registry.Named, o archive.WriteOptions) []byte {
	t.Helper()
	var data bytes.Buffer
	if err := archive.Write(t.Context(), &data, s, images, o); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// read opens an archive that comes through a pipe.
func read(t testing.TB, data []byte) *archive.Archive {
	t.Helper()
	a, err := archive.Open(t.Context(), bytes.NewBuffer(data), archive.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// two are a store with two images that share a layer, of which one has two names.
func two(t testing.TB) (*memory.Memory, []registry.Named) {
	t.Helper()
	s := memory.New()
	common := map[string]string{"etc/common": strings.Repeat("common ", 10_000)}
	one := storetest.Files(t, s, common, map[string]string{"one": "1"})
	other := storetest.Files(t, s, common, map[string]string{"two": "2"}, map[string]string{"three": "3"})
	return s, []registry.Named{
		{Name: "docker.io/library/one:latest", Descriptor: one},
		{Name: "registry.example.org:5000/a/two:v2", Descriptor: other},
		{Name: "docker.io/library/one:1.0", Descriptor: one},
	}
}

// files lists a tar: names, with "/" at the end of folders.
func files(t testing.TB, data []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRoundTrip writes both forms and reads them: the OCI form is the same to the byte, the Docker form has the same IDs.
func TestRoundTrip(t *testing.T) {
	s, images := two(t)
	for form, name := range map[archive.Form]string{archive.Docker: "docker", archive.OCI: "oci"} {
		t.Run(name, func(t *testing.T) {
			a := read(t, write(t, s, images, archive.WriteOptions{Form: form}))
			if len(a.Names()) != 3 {
				t.Errorf("names: %+v", a.Names())
			}
			for _, want := range images {
				dst := memory.New()
				d, err := registry.Copy(t.Context(), dst, "x", a, want.Name, registry.CopyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				storetest.Same(t, dst, d)
				if form == archive.OCI && d.Digest != want.Descriptor.Digest {
					t.Errorf("%s is %s, want %s", want.Name, d.Digest, want.Descriptor.Digest)
				}
				before, err := registry.FetchImage(t.Context(), s, want.Descriptor)
				if err != nil {
					t.Fatal(err)
				}
				after, err := registry.FetchImage(t.Context(), dst, d)
				if err != nil || after.Manifest.Config.Digest != before.Manifest.Config.Digest {
					t.Errorf("the ID is %s, %v; want %s", after.Manifest.Config.Digest, err, before.Manifest.Config.Digest)
				}
				for i, layer := range after.Manifest.Layers {
					if form == archive.Docker && layer.Digest != before.Config.RootFS.DiffIDs[i] {
						t.Errorf("layer %d is %s, want %s", i, layer.Digest, before.Config.RootFS.DiffIDs[i])
					}
				}
			}
			if _, err := a.Resolve(t.Context(), "one"); err != nil {
				t.Errorf("resolve by the short name: %v", err)
			}
			if _, err := a.Resolve(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "several images") {
				t.Errorf("resolve the only one of two: %v", err)
			}
			if _, err := a.Resolve(t.Context(), "three"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("resolve what is not there: %v", err)
			}
		})
	}
}

// TestDockerForm looks at the files of an archive as docker load does.
func TestDockerForm(t *testing.T) {
	s, images := two(t)
	all := files(t, write(t, s, images, archive.WriteOptions{}))
	var saved []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(all["manifest.json"], &saved); err != nil {
		t.Fatal(err)
	}
	var tags [][]string
	for _, image := range saved {
		tags = append(tags, image.RepoTags)
		var config ocispec.Image
		if err := json.Unmarshal(all[image.Config], &config); err != nil || len(config.RootFS.DiffIDs) != len(image.Layers) {
			t.Fatalf("%s: %v", image.Config, err)
		}
		for i, path := range image.Layers {
			if got := digest.FromBytes(all[path]); got != config.RootFS.DiffIDs[i] {
				t.Errorf("%s has the digest %s, want the diff ID %s", path, got, config.RootFS.DiffIDs[i])
			}
			if len(files(t, all[path])) != 1 { // an uncompressed tar
				t.Errorf("%s has not one file", path)
			}
		}
	}
	if diff := cmp.Diff([][]string{{"docker.io/library/one:latest", "docker.io/library/one:1.0"}, {"registry.example.org:5000/a/two:v2"}}, tags); diff != "" {
		t.Errorf("RepoTags (-want +got):\n%s", diff)
	}
	var repositories map[string]map[string]string
	if err := json.Unmarshal(all["repositories"], &repositories); err != nil || len(repositories["docker.io/library/one"]) != 2 || len(repositories["registry.example.org:5000/a/two"]["v2"]) != 64 {
		t.Errorf("repositories: %v, %v", repositories, err)
	}
	if len(all) != 2+2+4+4 { // tables, configurations, layers, their folders
		t.Errorf("%d files", len(all))
	}
	if _, has := all["oci-layout"]; has { // podman would take it for the other form, which has one image
		t.Error("it says that it is of the OCI form")
	}
}

// TestDeterministic writes the same bytes each time, whatever the order of the images' layers in memory is.
func TestDeterministic(t *testing.T) {
	s, images := two(t)
	for _, form := range []archive.Form{archive.Docker, archive.OCI} {
		if !bytes.Equal(write(t, s, images, archive.WriteOptions{Form: form}), write(t, s, images, archive.WriteOptions{Form: form})) {
			t.Errorf("form %d differs", form)
		}
	}
}

// TestIndex saves an index: whole in the OCI form, one platform in the Docker form, and what there is of a sparse one.
func TestIndex(t *testing.T) {
	s := memory.New()
	amd64, arm64 := storetest.Sample(t, s, "linux/amd64", []byte("amd64")), storetest.Sample(t, s, "linux/arm64", []byte("arm64"))
	top := storetest.Index(t, s, amd64, arm64, storetest.Sample(t, memory.New(), "linux/s390x", []byte("gone")))
	images := []registry.Named{{Name: "docker.io/library/multi:latest", Descriptor: top}}
	a := read(t, write(t, s, images, archive.WriteOptions{Form: archive.OCI}))
	if d, err := a.Resolve(t.Context(), "multi"); err != nil || d.Digest != top.Digest {
		t.Errorf("resolve: %s, %v", d.Digest, err)
	}
	storetest.Same(t, a, amd64)
	storetest.Same(t, a, arm64)
	if d, err := a.Resolve(t.Context(), arm64.Digest.String()); err != nil || d.MediaType != arm64.MediaType {
		t.Errorf("resolve what is in the index: %+v, %v", d, err)
	}
	a = read(t, write(t, s, images, archive.WriteOptions{Platform: arm64.Platform}))
	d, err := a.Resolve(t.Context(), "multi")
	if err != nil {
		t.Fatal(err)
	}
	image, err := registry.FetchImage(t.Context(), a, d)
	if err != nil || image.Config.Architecture != "arm64" {
		t.Errorf("saved %s, %v; want arm64", image.Config.Architecture, err)
	}
}

// TestNames gives images with other names than full ones with a tag.
func TestNames(t *testing.T) {
	s := memory.New()
	d := storetest.Files(t, s, map[string]string{"a": "a"})
	byDigest := "docker.io/library/a@" + d.Digest.String()
	for _, form := range []archive.Form{archive.Docker, archive.OCI} {
		a := read(t, write(t, s, []registry.Named{{Descriptor: d}}, archive.WriteOptions{Form: form}))
		if names := a.Names(); len(names) != 1 || names[0].Name != "" {
			t.Errorf("form %d, no name: %+v", form, names)
		}
		if _, err := a.Resolve(t.Context(), ""); err != nil {
			t.Errorf("form %d, the only image: %v", form, err)
		}
		a = read(t, write(t, s, []registry.Named{{Name: byDigest, Descriptor: d}}, archive.WriteOptions{Form: form}))
		want := map[archive.Form]string{archive.Docker: "", archive.OCI: byDigest}[form]
		if names := a.Names(); len(names) != 1 || names[0].Name != want {
			t.Errorf("form %d, by digest: %+v", form, names)
		}
	}
	a := read(t, write(t, s, []registry.Named{{Name: "bare", Descriptor: d}}, archive.WriteOptions{Form: archive.OCI}))
	if names := a.Names(); len(names) != 1 || names[0].Name != "bare" {
		t.Errorf("foreign name: %+v", names)
	}
}

// TestReadOnly takes nothing, and ends a copy to an archive.
func TestReadOnly(t *testing.T) {
	s, images := two(t)
	a := read(t, write(t, s, images, archive.WriteOptions{}))
	if err := a.Push(t.Context(), images[0].Descriptor, nil); !errors.Is(err, registry.ErrReadOnly) {
		t.Errorf("push: %v", err)
	}
	if _, err := registry.Copy(t.Context(), a, "x", s, images[0].Descriptor.Digest.String(), registry.CopyOptions{}); !errors.Is(err, registry.ErrReadOnly) {
		t.Errorf("copy: %v", err)
	}
	if err := a.Delete(t.Context(), "one"); !errors.Is(err, registry.ErrReadOnly) {
		t.Errorf("delete: %v", err)
	}
	var tags []string
	for name := range a.Tags(t.Context()) {
		tags = append(tags, name)
	}
	if !slices.Equal(tags, []string{"docker.io/library/one:1.0", "docker.io/library/one:latest", "registry.example.org:5000/a/two:v2"}) {
		t.Errorf("tags: %q", tags)
	}
}

// TestSources reads an archive from a file, in place; from a compressed one; and from a pipe. No temporary file has a name.
func TestSources(t *testing.T) {
	s, images := two(t)
	plain := write(t, s, images, archive.WriteOptions{})
	compress := func(open func(io.Writer) io.WriteCloser) []byte {
		var data bytes.Buffer
		w := open(&data)
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return data.Bytes()
	}
	forms := map[string][]byte{
		"plain": plain,
		"gzip":  compress(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"zstd": compress(func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		}),
	}
	for name, data := range forms {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "archive")
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for form, r := range map[string]io.Reader{"file": f, "pipe": bytes.NewBuffer(data)} {
				temp := t.TempDir()
				a, err := archive.Open(t.Context(), r, archive.OpenOptions{TempDir: temp})
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				dst := memory.New()
				d, err := registry.Copy(t.Context(), dst, "x", a, "one", registry.CopyOptions{})
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				storetest.Same(t, dst, d)
				if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
					t.Errorf("%s: temporary files %v, %v", form, left, err)
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestLimits refuses a bomb, and stops when it is told to.
func TestLimits(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	_, err := archive.Open(t.Context(), bytes.NewReader(bomb.Bytes()), archive.OpenOptions{TempDir: temp, MaxBytes: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("bomb: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Open(ctx, bytes.NewReader(bomb.Bytes()), archive.OpenOptions{TempDir: temp}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s, images := two(t)
	if err := archive.Write(ctx, io.Discard, s, images, archive.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("write, cancelled: %v", err)
	}
	if err := archive.Write(t.Context(), io.Discard, s, nil, archive.WriteOptions{}); err == nil {
		t.Error("write nothing: no error")
	}
	full := errors.New("disk full")
	if err := archive.Write(t.Context(), failing{full}, s, images, archive.WriteOptions{}); !errors.Is(err, full) {
		t.Errorf("write to a full disk: %v", err)
	}
}

// failing is a writer that can't.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
