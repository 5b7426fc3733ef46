// SPDX-License-Identifier: Apache-2.0

package images_test

import (
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

// ctx keeps the lines of tests short.
type ctx = context.Context

// TestPull looks at what a pull leaves in the state folder, and at what it tells on the way.
func TestPull(t *testing.T) {
	w := newWorld(t)
	d, id := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "three"}}}, "latest")
	seen := map[digest.Digest][]images.State{}
	o := images.PullOptions{Progress: func(p images.Progress) { seen[p.Layer.Digest] = append(seen[p.Layer.Digest], p.State) }}
	p, err := w.Pull(t.Context(), name(t, "app"), o)
	if err != nil {
		t.Fatal(err)
	}
	want := images.Pulled{Name: "docker.io/library/app:latest", Digest: d.Digest, ID: id, Fresh: true}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("pulled -want +got:\n%s", diff)
	}
	for layer, states := range seen {
		states = slices.Compact(states)
		if diff := cmp.Diff([]images.State{images.Waiting, images.Moving, images.Moved, images.Complete}, states); diff != "" {
			t.Errorf("the states of %s, -want +got:\n%s", layer, diff)
		}
	}
	image := w.find("app")
	if len(seen) != 2 || image.Size != 8 || image.ID != id {
		t.Errorf("%d layers were told of; the image has %d bytes and the ID %s", len(seen), image.Size, image.ID)
	}
	if diff := cmp.Diff([]string{"docker.io/library/app@" + d.Digest.String()}, image.Digests); diff != "" {
		t.Errorf("digests -want +got:\n%s", diff)
	}
	for i, file := range []string{"a", "b"} {
		chain := image.Chain()[i].Encoded()
		if _, err := os.Stat(filepath.Join(w.state, "layers", chain, "fs", file)); err != nil {
			t.Error(err)
		}
	}
	if p := w.pull("app"); p.Fresh {
		t.Error("the second pull says that it fetched something")
	}
	if left := append(w.files("images/leases"), w.files("images/ingest")...); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestPullByDigest pulls without a tag: the image has a name with the digest alone.
func TestPullByDigest(t *testing.T) {
	w := newWorld(t)
	d, id := w.put("registry.example/team/app", spec{layers: []map[string]string{{"a": "one"}}}, "1")
	word := "registry.example/team/app@" + d.Digest.String()
	if p := w.pull(word); p.ID != id || p.Digest != d.Digest || p.Name != word {
		t.Errorf("pulled %+v", p)
	}
	image := w.find(word)
	if len(image.Names) != 0 || image.Dangling() {
		t.Errorf("its names are %q, dangling %v", image.Names, image.Dangling())
	}
	if p := w.pull("registry.example/team/app:1@" + d.Digest.String()); p.Name != word {
		t.Errorf("of tag and digest together the digest counts; it is called %s", p.Name)
	}
}

// TestPullPlatform pulls from an index: this machine's image, or another.
func TestPullPlatform(t *testing.T) {
	w := newWorld(t)
	const repository = "docker.io/library/many"
	own, ownID := w.put(repository, spec{layers: []map[string]string{{"a": "own"}}})
	other, otherID := w.put(repository, spec{layers: []map[string]string{{"a": "other"}}, config: func(c *images.Config) { c.Architecture = "s390x" }})
	here := registry.HostPlatform()
	own.Platform, other.Platform = &here, &ocispec.Platform{OS: "linux", Architecture: "s390x"}
	index, err := registry.PushIndex(t.Context(), w.repo(repository), ocispec.Index{Manifests: []ocispec.Descriptor{other, own}})
	if err == nil {
		err = w.repo(repository).Tag(t.Context(), index, "latest")
	}
	if err != nil {
		t.Fatal(err)
	}
	if p := w.pull("many"); p.ID != ownID || p.Digest != index.Digest {
		t.Errorf("pulled %+v, want the image %s by the index %s", p, ownID, index.Digest)
	}
	if _, err := w.Find(t.Context(), "many@"+index.Digest.String()); err != nil {
		t.Errorf("by the digest of the index: %v", err)
	}
	p, err := w.Pull(t.Context(), name(t, "many"), images.PullOptions{Platform: other.Platform})
	if err != nil || p.ID != otherID {
		t.Errorf("pulled %+v, %v, want the image %s", p, err, otherID)
	}
	if err := w.find("many").For(&here); err == nil {
		t.Error("the image for s390x is one for this machine")
	}
	if _, err := w.Pull(t.Context(), name(t, "many"), images.PullOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "riscv64"}}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a platform that there is not: %v", err)
	}
}

// TestPullMovesName pulls a name that has come to mean another image: the old one stays without a name.
func TestPullMovesName(t *testing.T) {
	w := newWorld(t)
	_, old := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "old"}}}, "latest", "1")
	w.pull("app")
	_, fresh := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "new"}}}, "latest")
	w.pull("app")
	want := []string{"<none> " + images.Short(old), "docker.io/library/app:latest " + images.Short(fresh)}
	if diff := cmp.Diff(want, w.listed()); diff != "" {
		t.Errorf("images -want +got:\n%s", diff)
	}
}

// TestPullPacked leaves the layers packed, for Unpack to unpack.
func TestPullPacked(t *testing.T) {
	w := newWorld(t)
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": strings.Repeat("one", 1000)}, {"b": "two"}}}, "latest")
	if _, err := w.Pull(t.Context(), name(t, "app"), images.PullOptions{Packed: true}); err != nil {
		t.Fatal(err)
	}
	image := w.find("app")
	if got := w.layers(); len(got) != 0 || image.Size == 3003 {
		t.Errorf("unpacked are %q, the size is %d", got, image.Size)
	}
	layers, err := w.Unpack(t.Context(), image)
	if err != nil || len(layers) != 2 || len(w.layers()) != 2 || w.find("app").Size != 3003 {
		t.Errorf("%d layers, %v; the size is %d", len(layers), err, w.find("app").Size)
	}
}

// TestPullRefusesLies pulls images whose parts don't fit: nothing of them may get a name, or stay when others are removed.
func TestPullRefusesLies(t *testing.T) {
	for name_, lie := range map[string]func(*images.Config){
		"wrong diff ID":    func(c *images.Config) { c.RootFS.DiffIDs = []digest.Digest{digest.FromString("x")} },
		"too few diff IDs": func(c *images.Config) { c.RootFS.DiffIDs = []digest.Digest{} },
		"no digest":        func(c *images.Config) { c.RootFS.DiffIDs = []digest.Digest{"../../etc"} },
		"sha512":           func(c *images.Config) { c.RootFS.DiffIDs = []digest.Digest{digest.SHA512.FromString("x")} },
	} {
		t.Run(name_, func(t *testing.T) {
			w := newWorld(t)
			w.lie("docker.io/library/liar", lie)
			_, err := w.Pull(t.Context(), name(t, "liar"), images.PullOptions{})
			if err == nil || len(w.listed()) > 0 || len(w.layers()) > 0 {
				t.Errorf("%v; images %q, layers %q", err, w.listed(), w.layers())
			}
			if _, err := w.Prune(t.Context(), images.PruneOptions{}); err != nil {
				t.Error(err)
			}
			if got := append(w.blobs(), w.files("layers/holders")...); len(got) > 0 {
				t.Errorf("left over: %q", got)
			}
		})
	}
}

// lie makes an image of one layer whose configuration is changed after the layers are in it.
func (w *world) lie(repository string, change func(*images.Config)) {
	w.t.Helper()
	repo := w.repo(repository)
	d, diffID, err := registry.PushLayer(w.t.Context(), repo, func(to io.Writer) error {
		_, err := to.Write(layerOf(w.t, map[string]string{"a": "b"}))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	c := images.Config{Image: ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}}}}
	change(&c)
	config, err := registry.PushBytes(w.t.Context(), repo, ocispec.MediaTypeImageConfig, encode(w.t, c))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := registry.PushManifest(w.t.Context(), repo, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{d}})
	if err == nil {
		err = repo.Tag(w.t.Context(), m, "latest")
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestPullConfigAsLayer pulls an image of which a layer is its configuration.
func TestPullConfigAsLayer(t *testing.T) {
	w := newWorld(t)
	repo := w.repo("docker.io/library/liar")
	c := images.Config{Image: ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("x")}}}}
	config, err := registry.PushBytes(t.Context(), repo, ocispec.MediaTypeImageConfig, encode(t, c))
	if err != nil {
		t.Fatal(err)
	}
	layer := config
	layer.MediaType = ocispec.MediaTypeImageLayer
	m, err := registry.PushManifest(t.Context(), repo, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}})
	if err == nil {
		err = repo.Tag(t.Context(), m, "latest")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pull(t.Context(), name(t, "liar"), images.PullOptions{}); err == nil || !strings.Contains(err.Error(), "as a layer, too") || len(w.listed()) > 0 {
		t.Errorf("%v; images %q", err, w.listed())
	}
}

// TestPullArtifact refuses what is no image.
func TestPullArtifact(t *testing.T) {
	w := newWorld(t)
	repo := w.repo("docker.io/library/chart")
	config, err := registry.PushBytes(t.Context(), repo, "application/vnd.cncf.helm.config.v1+json", []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := registry.PushManifest(t.Context(), repo, ocispec.Manifest{Config: config})
	if err == nil {
		err = repo.Tag(t.Context(), m, "latest")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Pull(t.Context(), name(t, "chart"), images.PullOptions{}); err == nil || !strings.Contains(err.Error(), "not an image") {
		t.Errorf("got %v", err)
	}
}

// TestTags lists what a registry has.
func TestTags(t *testing.T) {
	w := newWorld(t)
	w.put("docker.io/library/app", spec{}, "1", "2", "latest")
	tags, err := w.Tags(t.Context(), name(t, "app"))
	var got []string
	for _, tag := range tags {
		got = append(got, tag.String())
	}
	want := []string{"docker.io/library/app:1", "docker.io/library/app:2", "docker.io/library/app:latest"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, tags -want +got:\n%s", err, diff)
	}
}

// TestPush pushes to another repository, all tags of it, and sees that the registry has the very manifest.
func TestPush(t *testing.T) {
	w := newWorld(t)
	d, _ := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}}}, "latest")
	w.pull("app")
	for _, tag := range []string{"1", "2"} {
		if err := w.Tag(t.Context(), w.find("app"), tagged(t, "registry.example/app:"+tag)); err != nil {
			t.Fatal(err)
		}
	}
	names, err := w.Pushable(t.Context(), name(t, "registry.example/app"))
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, n := range names {
		got, err := w.Push(t.Context(), n, images.PushOptions{})
		if err != nil || got.Digest != d.Digest {
			t.Fatalf("pushed %+v, %v", got, err)
		}
		there, err := w.repo("registry.example/app").Resolve(t.Context(), n.Tag())
		if err != nil || there.Digest != d.Digest {
			t.Errorf("the registry has %+v, %v", there, err)
		}
	}
	if image := w.find("app"); !slices.Contains(image.Digests, "registry.example/app@"+d.Digest.String()) {
		t.Errorf("the image is known by %q", image.Digests)
	}
	if _, err := w.Push(t.Context(), tagged(t, "nothing"), images.PushOptions{}); !errors.Is(err, images.ErrNotFound) {
		t.Errorf("push of nothing: %v", err)
	}
	if _, err := w.Push(t.Context(), names[0], images.PushOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}); err == nil {
		t.Error("the image was pushed for another platform")
	}
}
