// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/engine/images"
	"stave/registry"
)

// TestSaveAndLoad saves images in both forms and loads them into another state folder: IDs are the same, and in OCI's form the manifests
// too, byte by byte.
func TestSaveAndLoad(t *testing.T) {
	for form, oci := range map[string]bool{"docker": false, "oci": true} {
		t.Run(form, func(t *testing.T) {
			w := newWorld(t)
			d, id := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest", "1")
			w.pull("app")
			w.pull("app:1")
			var archive bytes.Buffer
			if err := w.Save(t.Context(), &archive, []string{"app"}, images.SaveOptions{OCI: oci}); err != nil {
				t.Fatal(err)
			}
			other := newWorld(t)
			var loaded []images.Loaded
			err := other.Load(t.Context(), &archive, images.PullOptions{}, func(l images.Loaded) { loaded = append(loaded, l) })
			want := []images.Loaded{{Name: "docker.io/library/app:1", ID: id}, {Name: "docker.io/library/app:latest", ID: id}}
			if diff := cmp.Diff(want, loaded); diff != "" || err != nil {
				t.Fatalf("%v, loaded -want +got:\n%s", err, diff)
			}
			image := other.find("app")
			if same := image.Manifest.Digest == d.Digest; same != oci {
				t.Errorf("the manifest is %s, it was %s", image.Manifest.Digest, d.Digest)
			}
			if diff := cmp.Diff(w.find("app").Config, image.Config); diff != "" {
				t.Errorf("configuration -saved +loaded:\n%s", diff)
			}
			if text, err := os.ReadFile(filepath.Join(other.state, "layers", image.Chain()[1].Encoded(), "fs/b")); err != nil || string(text) != "two" {
				t.Errorf("the upper layer has %q, %v", text, err)
			}
		})
	}
}

// TestSaveByID saves without a name, which then is not there when the image is loaded.
func TestSaveByID(t *testing.T) {
	w := newWorld(t)
	_, id := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}}}, "latest")
	w.pull("app")
	var archive bytes.Buffer
	if err := w.Save(t.Context(), &archive, []string{images.Short(id)}, images.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	if err := other.Load(t.Context(), &archive, images.PullOptions{}, func(images.Loaded) {}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"<none> " + images.Short(id)}, other.listed()); diff != "" {
		t.Errorf("images -want +got:\n%s", diff)
	}
	if err := w.Save(t.Context(), io.Discard, []string{"app", "nothing"}, images.SaveOptions{}); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("save of what is not there: %v", err)
	}
	if err := w.Save(t.Context(), io.Discard, []string{"app"}, images.SaveOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}); err == nil {
		t.Error("the image was saved for another platform")
	}
}

// TestImport imports archives, compressed and not, with changes.
func TestImport(t *testing.T) {
	plain := layerOf(t, map[string]string{"etc/": "", "etc/motd": "hello"})
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for form, archive := range map[string][]byte{"plain": plain, "gzip": compressed.Bytes()} {
		t.Run(form, func(t *testing.T) {
			w := newWorld(t)
			id, err := w.Import(t.Context(), bytes.NewReader(archive), images.ImportOptions{
				Name: tagged(t, "imported:1"), From: "a.tar", Changes: []string{"CMD cat /etc/motd", "ENV A=b"}, Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"},
			})
			if err != nil {
				t.Fatal(err)
			}
			image := w.find("imported:1")
			if image.ID != id || image.Config.Architecture != "arm64" || image.Config.History[0].Comment != "Imported from a.tar" {
				t.Errorf("the image is %+v", image)
			}
			if diff := cmp.Diff([]string{"/bin/sh", "-c", "cat /etc/motd"}, image.Config.Config.Cmd); diff != "" {
				t.Errorf("command -want +got:\n%s", diff)
			}
			if got := image.Config.RootFS.DiffIDs; len(got) != 1 || got[0] != digest.FromBytes(plain) {
				t.Errorf("the diff IDs are %q, want that of the plain archive, %s", got, digest.FromBytes(plain))
			}
			if text, err := os.ReadFile(filepath.Join(w.state, "layers", image.Chain()[0].Encoded(), "fs/etc/motd")); err != nil || string(text) != "hello" {
				t.Errorf("unpacked %q, %v", text, err)
			}
		})
	}
	w := newWorld(t)
	if _, err := w.Import(t.Context(), strings.NewReader("this is no archive"), images.ImportOptions{}); err == nil || len(w.listed()) > 0 {
		t.Errorf("what is no archive: %v, images %q", err, w.listed())
	}
	if _, err := w.Import(t.Context(), bytes.NewReader(plain), images.ImportOptions{Changes: []string{"FROM x"}}); err == nil {
		t.Error("the change FROM was taken")
	}
}

// TestCommit makes an image on top of another.
func TestCommit(t *testing.T) {
	w := newWorld(t)
	_, id := w.put("docker.io/library/base", spec{
		layers: []map[string]string{{"a": "one"}},
		config: func(c *images.Config) {
			c.Author, c.Config.Env, c.Config.OnBuild = "the base's", []string{"A=b"}, []string{"RUN x"}
			c.Config.Healthcheck = &images.Healthcheck{Test: []string{"CMD", "true"}}
			c.Config.Entrypoint, c.Config.Cmd = []string{"/entry"}, []string{"old"}
		},
	}, "latest")
	w.pull("base")
	added := layerOf(t, map[string]string{"b": "added"})
	config := w.find("base").Config.Config.ImageConfig
	config.Env = append(slices.Clone(config.Env), "FROM=container")
	made, err := w.Commit(t.Context(), images.Changed{Image: id, Config: config, Command: []string{"sh", "-c", "x"}, Changes: func(_ context.Context, to io.Writer) error {
		_, err := to.Write(added)
		return err
	}}, images.CommitOptions{Name: tagged(t, "made"), Author: "me", Message: "more", Changes: []string{"LABEL a=b", "WORKDIR /work"}})
	if err != nil {
		t.Fatal(err)
	}
	image, base := w.find("made"), w.find("base")
	c := image.Config
	if image.ID != made || c.Author != "me" || c.Config.Labels["a"] != "b" || c.Config.WorkingDir != "/work" || c.Config.Healthcheck == nil || len(c.Config.OnBuild) != 1 {
		t.Errorf("the configuration is %+v", c)
	}
	if diff := cmp.Diff([]string{"A=b", "FROM=container"}, c.Config.Env); diff != "" {
		t.Errorf("environment -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(append(slices.Clone(base.Config.RootFS.DiffIDs), digest.FromBytes(added)), c.RootFS.DiffIDs); diff != "" {
		t.Errorf("diff IDs -want +got:\n%s", diff)
	}
	last := c.History[len(c.History)-1]
	if last.Comment != "more" || last.CreatedBy != "sh -c x" || len(c.History) != 2 {
		t.Errorf("the history is %+v", c.History)
	}
	if _, err := w.Remove(t.Context(), "base", false); err != nil {
		t.Fatal(err)
	}
	if layers, err := w.Unpack(t.Context(), image); err != nil || len(layers) != 2 {
		t.Errorf("without its base it has %v, %v", layers, err)
	}
	broken := errors.New("the disk is full")
	_, err = w.Commit(t.Context(), images.Changed{Image: made, Changes: func(context.Context, io.Writer) error { return broken }}, images.CommitOptions{})
	if !errors.Is(err, broken) || len(w.listed()) != 1 || len(w.files("images/ingest")) > 0 {
		t.Errorf("a commit that fails: %v; images %q, left over %q", err, w.listed(), w.files("images/ingest"))
	}
}

// TestCommitOnDocker commits on an image of Docker's media types: the manifest is OCI's, and so are all layers in it.
func TestCommitOnDocker(t *testing.T) {
	w := newWorld(t)
	repo := w.repo("docker.io/library/base")
	archive := layerOf(t, map[string]string{"a": "one"})
	layer, err := registry.PushBytes(t.Context(), repo, registry.MediaTypeDockerLayer, archive)
	if err != nil {
		t.Fatal(err)
	}
	c := images.Config{Image: ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}}}}
	config, err := registry.PushBytes(t.Context(), repo, registry.MediaTypeDockerConfig, encode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.PushManifest(t.Context(), repo, ocispec.Manifest{MediaType: registry.MediaTypeDockerManifest, Config: config, Layers: []ocispec.Descriptor{layer}})
	if err == nil {
		err = repo.Tag(t.Context(), m, "latest")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.pull("base")
	_, err = w.Commit(t.Context(), images.Changed{Image: config.Digest, Changes: func(_ context.Context, to io.Writer) error {
		return tar.NewWriter(to).Close()
	}}, images.CommitOptions{Name: tagged(t, "made")})
	if err != nil {
		t.Fatal(err)
	}
	image := w.find("made")
	want := []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip}
	if diff := cmp.Diff(want, []string{image.Manifest.MediaType, image.Layers[0].MediaType, image.Layers[1].MediaType}); diff != "" {
		t.Errorf("media types -want +got:\n%s", diff)
	}
}

// TestHistory tells steps with and without layers, and those that a history leaves out.
func TestHistory(t *testing.T) {
	for name_, test := range map[string]struct {
		history []ocispec.History
		want    []string
	}{
		"each":    {[]ocispec.History{{CreatedBy: "one"}, {CreatedBy: "env", EmptyLayer: true}, {CreatedBy: "two"}}, []string{"two 4", "env 0", "one 3"}},
		"none":    {nil, []string{" 4", " 3"}},
		"too few": {[]ocispec.History{{CreatedBy: "one"}}, []string{" 4", "one 3"}},
		"too many": {
			[]ocispec.History{{CreatedBy: "one"}, {CreatedBy: "two"}, {CreatedBy: "three"}}, []string{"three 0", "two 4", "one 3"},
		},
	} {
		t.Run(name_, func(t *testing.T) {
			w := newWorld(t)
			_, id := w.put("docker.io/library/app", spec{
				layers: []map[string]string{{"a": "one"}, {"b": "four"}}, config: func(c *images.Config) { c.History = test.history },
			}, "latest")
			w.pull("app")
			steps := w.History(t.Context(), w.find("app"))
			var got []string
			for _, s := range steps {
				got = append(got, s.CreatedBy+" "+string(rune('0'+s.Size)))
			}
			if diff := cmp.Diff(test.want, got); diff != "" || steps[0].ID != id || !cmp.Equal(steps[0].Tags, []string{"app:latest"}) {
				t.Errorf("the last step is %+v; steps -want +got:\n%s", steps[0], diff)
			}
		})
	}
}
