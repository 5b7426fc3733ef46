// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestWrongManifests pushes what is no manifest, or is incomplete.
func TestWrongManifests(t *testing.T) {
	r := start(t, Options{})
	text, d := r.image("a", nil, "layer")
	none := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("none"), Size: 4}
	with := func(change func(*ocispec.Manifest)) string {
		text, _ := r.image("a", change, "layer")
		return text
	}
	index := func(d ocispec.Descriptor) string {
		x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{d}}
		x.SchemaVersion = 2
		text, _ := encode(t, x)
		return text
	}
	for name, c := range map[string]struct {
		reference, header, body string
		status                  int
		code, says              string
	}{
		"no JSON":         {"x", isImage, "blablabla", 400, codeManifestInvalid, "invalid character"},
		"empty":           {"x", isImage, "", 400, codeManifestInvalid, ""},
		"no type":         {"x", "Accept: x", text, 400, codeManifestInvalid, "Content-Type"},
		"other type":      {"x", "Content-Type: application/json", text, 400, codeManifestInvalid, "application/json"},
		"two types":       {"x", isIndexType, text, 400, codeManifestInvalid, "mediaType"},
		"schema 1":        {"x", isImage, `{"schemaVersion":1}`, 400, codeManifestInvalid, "schemaVersion"},
		"both":            {"x", isImage, `{"schemaVersion":2,"config":{},"manifests":[]}`, 400, codeManifestInvalid, "manifests"},
		"index of layers": {"x", isIndexType, `{"schemaVersion":2,"layers":[]}`, 400, codeManifestInvalid, "layers"},
		"no config":       {"x", isImage, `{"schemaVersion":2,"layers":[]}`, 400, codeManifestInvalid, "config"},
		"no blob":         {"x", isImage, with(func(m *ocispec.Manifest) { m.Layers = append(m.Layers, none) }), 400, codeManifestBlobUnknown, none.Digest.String()},
		"no manifest":     {"x", isIndexType, index(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: none.Digest, Size: 4}), 400, codeManifestBlobUnknown, none.Digest.String()},
		"size":            {"x", isImage, with(func(m *ocispec.Manifest) { m.Layers[0].Size++ }), 400, codeManifestInvalid, "6 bytes, but it has 5"},
		"climbing digest": {"x", isImage, with(func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../../../etc/passwd" }), 400, codeManifestInvalid, "passwd"},
		"subject":         {"x", isImage, with(func(m *ocispec.Manifest) { m.Subject = &ocispec.Descriptor{Digest: "x"} }), 400, codeManifestInvalid, ""},
		"other digest":    {none.Digest.String(), isImage, text, 400, codeDigestInvalid, d.String()},
		"no digest":       {"sha256:totallywrong", isImage, text, 400, codeDigestInvalid, ""},
		"many layers":     {"x", isImage, crowd(`"layers":[`, "{}", maxObjects+1), 400, codeManifestInvalid, "40000 objects"},
		"many zeros":      {"x", isImage, crowd(`"layers":[`, "0", maxCommas+1), 400, codeManifestInvalid, "200000 commas"},
		"too long":        {"x", isImage, text + strings.Repeat(" ", maxManifest), 413, codeSizeInvalid, "4194304"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			r.t = t
			if got := r.want(c.status, c.code, "PUT", "/v2/a/manifests/"+c.reference, c.body, c.header); !strings.Contains(got.body, c.says) {
				t.Errorf("it says %s, want %s", got.body, c.says)
			}
			r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/"+c.reference, "")
		})
	}
	if files := uploaded(t, r.root); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

// crowd is a manifest with a list that has a member n times.
func crowd(list, member string, n int) string {
	return `{"schemaVersion":2,` + list + strings.Repeat(member+",", n) + member + "]}"
}

// TestLayerIsNoManifest asks for a layer as a manifest: where there is no index no other manifest is read to say no.
func TestLayerIsNoManifest(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a", "latest", "layer")
	repository := r.server.repository("a")
	if err := os.WriteFile(repository.blob(d), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := repository.resolve(digest.FromString("layer").String())
	if _, own := err.(*refusal); !own {
		t.Errorf("the manifest was read: %v", err)
	}
}

// TestBytesStay pushes a manifest with blanks, a foreign layer and unknown members, by both digests.
func TestBytesStay(t *testing.T) {
	r := start(t, Options{})
	config := r.blob("a", "{}")
	text := fmt.Sprintf(`
{ "schemaVersion": 2, "more": [1e3], "config": {"mediaType": "application/x", "digest": %q, "size": 2},
  "layers": [{"mediaType": "application/x", "digest": %q, "size": 77, "urls": ["https://example.org/"]}] }`, config.Digest, digest.FromString("elsewhere"))
	for _, d := range []digest.Digest{digest.SHA256.FromString(text), digest.SHA512.FromString(text)} {
		r.want(201, "", "PUT", "/v2/a/manifests/"+d.String(), text, isImage)
		if got := r.want(200, "", "GET", "/v2/a/manifests/"+d.String(), ""); got.body != text {
			t.Errorf("it comes back as %q", got.body)
		}
	}
	longest := text + strings.Repeat(" ", maxManifest-len(text))
	r.want(201, "", "PUT", "/v2/a/manifests/longest", longest, isImage)
	if got := r.want(200, "", "GET", "/v2/a/manifests/longest", ""); got.body != longest {
		t.Error("the longest manifest has changed")
	}
}

// TestTags moves and deletes tags and manifests, and looks at the folder.
func TestTags(t *testing.T) {
	r := start(t, Options{})
	one := r.push("a", "x", "one")
	r.push("a", "y", "one")
	two := r.push("a", "x", "two")
	entries := func() []string {
		t.Helper()
		text, err := os.ReadFile(r.root + "/a/index.json")
		if err != nil {
			t.Fatal(err)
		}
		var index ocispec.Index
		if err := json.Unmarshal(text, &index); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, d := range index.Manifests {
			list = append(list, fmt.Sprint(map[digest.Digest]string{one: "one", two: "two"}[d.Digest], " ", tag(d)))
		}
		slices.Sort(list)
		return list
	}
	step := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, entries()); diff != "" {
			t.Errorf("entries (-want +got):\n%s", diff)
		}
	}
	step("one y", "two x")
	r.want(202, "", "DELETE", "/v2/a/manifests/y", "")
	step("one ", "two x")
	r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/y", "")
	r.want(200, "", "GET", "/v2/a/manifests/"+one.String(), "")
	r.push("a", "z", "one")
	step("one z", "two x")
	r.push("a", "x", "one")
	step("one x", "one z", "two ")
	r.want(202, "", "DELETE", "/v2/a/manifests/"+one.String(), "")
	step("two ")
	r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/z", "")
	if got := r.want(200, "", "GET", "/v2/a/tags/list", ""); got.body != `{"name":"a","tags":[]}` {
		t.Errorf("the tags are %s", got.body)
	}
}

// TestDeleteNeeded deletes what an image or index needs.
func TestDeleteNeeded(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a", "image", "layer")
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: r.sizeOf("a", d)}}}
	x.SchemaVersion = 2
	text, top := encode(t, x)
	r.want(201, "", "PUT", "/v2/a/manifests/index", text, isIndexType)
	layer := digest.FromString("layer").String()
	r.want(405, codeUnsupported, "DELETE", "/v2/a/blobs/"+layer, "")
	r.want(405, codeUnsupported, "DELETE", "/v2/a/blobs/"+d.String(), "")
	r.want(405, codeUnsupported, "DELETE", "/v2/a/manifests/"+d.String(), "")
	r.want(202, "", "DELETE", "/v2/a/manifests/image", "")
	r.want(202, "", "DELETE", "/v2/a/manifests/"+top.String(), "")
	r.want(202, "", "DELETE", "/v2/a/manifests/"+d.String(), "")
	r.want(202, "", "DELETE", "/v2/a/blobs/"+layer, "")
	r.want(404, codeBlobUnknown, "GET", "/v2/a/blobs/"+layer, "")
}

// sizeOf asks for the size of a manifest.
func (r remote) sizeOf(name string, d digest.Digest) int64 {
	r.t.Helper()
	return int64(len(r.want(200, "", "GET", "/v2/"+name+"/manifests/"+d.String(), "").body))
}

// TestForeignFolder serves a layout that another program has written: only the index has an entry, the image below it has none.
func TestForeignFolder(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a", "image", "layer")
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: r.sizeOf("a", d)}}}
	x.SchemaVersion = 2
	text, top := encode(t, x)
	r.want(201, "", "PUT", "/v2/a/manifests/latest", text, isIndexType)
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"latest"}},
		{"mediaType":"x","digest":"sha256:../../x","size":1,"annotations":{"org.opencontainers.image.ref.name":"docker.io/library/a:latest"}}]}`, ocispec.MediaTypeImageIndex, top, len(text))
	if err := os.WriteFile(r.root+"/a/index.json", []byte(index), 0o644); err != nil {
		t.Fatal(err)
	}
	got := r.want(200, "", "GET", "/v2/a/manifests/"+d.String(), "")
	if got.header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
		t.Errorf("%v", got.header)
	}
	if got := r.want(200, "", "GET", "/v2/a/tags/list", ""); got.body != `{"name":"a","tags":["latest"]}` {
		t.Errorf("the tags are %s", got.body)
	}
	r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/"+digest.FromString("layer").String(), "") // a blob is no manifest
	if _, err := r.server.Collect(t.Context()); err == nil || !strings.Contains(err.Error(), "repository a") {
		t.Errorf("what can't be understood is collected: %v", err)
	}
	checkFolder(t, r.root)
	r.want(200, "", "GET", "/v2/a/manifests/"+d.String(), "")
}

// TestRememberedIndex changes an index whose file is old enough to be remembered.
func TestRememberedIndex(t *testing.T) {
	r := start(t, Options{})
	one := r.push("a", "latest", "one")
	age(t, r.root)
	for range 2 {
		if got := r.want(200, "", "GET", "/v2/a/manifests/latest", ""); got.header.Get("Docker-Content-Digest") != one.String() {
			t.Errorf("before: %v", got.header)
		}
	}
	if n := len(r.server.indexes.of); n != 1 {
		t.Errorf("%d indexes are remembered", n)
	}
	two := r.push("a", "latest", "two")
	if got := r.want(200, "", "GET", "/v2/a/manifests/latest", ""); got.header.Get("Docker-Content-Digest") != two.String() {
		t.Errorf("after: %v", got.header)
	}
}

// FuzzManifest looks for a manifest that is taken though it could be read in two ways, or has descriptors that are none.
func FuzzManifest(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../x","size":0}]}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[],"Layers":[]}`))
	f.Add("application/vnd.oci.image.index.v1+json; x=y", []byte(`{"schemaVersion":2,"subject":{"digest":"sha512:00"}}`))
	f.Fuzz(func(t *testing.T, mediaType string, text []byte) {
		m, err := parseManifest(mediaType, text)
		if err != nil {
			if answer(err).status != 400 {
				t.Errorf("%v is not the client's fault", err)
			}
			return
		}
		if !isManifest(m.MediaType) || m.Manifests != nil && (m.Config != nil || m.Layers != nil) {
			t.Errorf("taken: %+v", m)
		}
		for _, d := range m.all() {
			if _, err := parseDigest(d.Digest.String()); err != nil || d.Size < 0 {
				t.Errorf("taken: %+v", d)
			}
		}
	})
}
