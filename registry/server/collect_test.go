// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// age makes all files and folders of a registry older than any grace.
func age(t *testing.T, root string) {
	t.Helper()
	old := time.Now().Add(-1000 * time.Hour)
	for path := range strings.SplitSeq(listing(t, root), "\n") {
		if path, _, _ := strings.Cut(path, " "); path != "" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// collect collects and compares what was removed.
func (r remote) collect(want Collected) {
	r.t.Helper()
	got, err := r.server.Collect(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	if want.Bytes == 0 {
		got.Bytes = 0
	}
	if got != want {
		r.t.Errorf("collected %+v, want %+v", got, want)
	}
}

// TestCollect removes what nothing needs, once it is old.
func TestCollect(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a/b", "latest", "needed")
	lost := r.push("a/b", "moved", "lost")
	r.push("a/b", "moved", "needed")
	loose := r.blob("a/b", "loose").Digest.String()
	r.blob("other", "loose")
	r.startUploadOf("a/b")
	r.collect(Collected{}) // all is young
	r.want(202, "", "DELETE", "/v2/a/b/manifests/"+lost.String(), "")
	age(t, r.root)
	r.want(200, "", "HEAD", "/v2/other/blobs/"+loose, "") // somebody is about to use it
	size := int64(len("lost")+len("loose")) + r.manifestSize("a/b", lost)
	r.collect(Collected{Blobs: 3, Uploads: 1, Bytes: size})
	r.want(404, codeBlobUnknown, "GET", "/v2/a/b/blobs/"+loose, "")
	r.want(200, "", "GET", "/v2/other/blobs/"+loose, "")
	if got := r.want(200, "", "GET", "/v2/a/b/blobs/"+digest.FromString("needed").String(), ""); got.body != "needed" {
		t.Errorf("%q", got.body)
	}
	r.want(200, "", "GET", "/v2/a/b/manifests/"+d.String(), "")
	r.collect(Collected{})
	if got := r.want(200, "", "GET", "/metrics", "").body; !strings.Contains(got, "stave_registry_collected_blobs_total 3\n") ||
		!strings.Contains(got, "stave_registry_collections_total 3\n") || !strings.Contains(got, "stave_registry_blobs 4\n") || !strings.Contains(got, "stave_registry_repositories 2\n") {
		t.Errorf("the metrics:\n%s", got)
	}
}

// manifestSize is the size of a manifest's file.
func (r remote) manifestSize(name string, d digest.Digest) int64 {
	r.t.Helper()
	n, err := r.server.repository(name).size(d)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// TestCollectEmpty removes the folders of what has nothing left, and not those of others.
func TestCollectEmpty(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a/b/c", "latest", "layer")
	r.push("a", "latest", "layer")
	r.startUploadOf("x/y")
	r.want(202, "", "DELETE", "/v2/a/b/c/manifests/"+d.String(), "")
	if err := os.WriteFile(filepath.Join(r.root, "a/b/c", temporaryOf("index.json")), nil, 0o600); err != nil { // of one that was killed
		t.Fatal(err)
	}
	age(t, r.root)
	r.collect(Collected{Blobs: 3, Uploads: 1})
	age(t, r.root)
	r.collect(Collected{})
	for _, gone := range []string{"a/b", "x"} {
		if _, err := os.Stat(filepath.Join(r.root, gone)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	r.want(200, "", "GET", "/v2/a/manifests/latest", "")
	r.push("a/b/c", "latest", "layer")
	r.want(200, "", "GET", "/v2/a/b/c/manifests/latest", "")
}

// TestDeleteUntagged collects manifests without a tag: not those of an index with one, nor what has these as subject.
func TestDeleteUntagged(t *testing.T) {
	r := start(t, Options{DeleteUntagged: true})
	child := r.push("a", "moved", "child")
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: child, Size: r.sizeOf("a", child)}}}
	x.SchemaVersion = 2
	text, top := encode(t, x)
	r.want(201, "", "PUT", "/v2/a/manifests/index", text, isIndexType)
	lost := r.push("a", "moved", "lost")
	r.push("a", "moved", "stays")
	signature := func(of digest.Digest) digest.Digest {
		text, d := r.image("a", func(m *ocispec.Manifest) {
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: of, Size: 1}
		}, "signature of "+of.String())
		r.want(201, "", "PUT", "/v2/a/manifests/"+d.String(), text, isImage)
		return d
	}
	kept, orphan := signature(child), signature(lost)
	r.collect(Collected{})
	age(t, r.root)
	r.collect(Collected{Manifests: 2, Blobs: 4})
	for _, d := range []digest.Digest{child, top, kept} {
		r.want(200, "", "GET", "/v2/a/manifests/"+d.String(), "")
	}
	for _, d := range []digest.Digest{lost, orphan} {
		r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/"+d.String(), "")
	}
}

// TestCollectSlowUpload ends an upload whose last byte came long ago: the blob is as young as one that has just come.
func TestCollectSlowUpload(t *testing.T) {
	r := start(t, Options{})
	at := r.startUploadOf("a")
	r.want(202, "", "PATCH", at, "slow")
	age(t, r.root)
	d := digest.FromString("slow").String()
	r.want(201, "", "PUT", at+"?digest="+d, "")
	r.collect(Collected{})
	r.want(200, "", "GET", "/v2/a/blobs/"+d, "")
}

// TestReferrersOfReferrers collects beside a chain of signatures of signatures, pushed in no order of theirs.
func TestReferrersOfReferrers(t *testing.T) {
	r := start(t, Options{DeleteUntagged: true})
	d := r.push("a", "latest", "layer")
	chain := []digest.Digest{d}
	for range 5 {
		text, next := r.image("a", func(m *ocispec.Manifest) {
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: chain[len(chain)-1], Size: 1}
		})
		r.want(201, "", "PUT", "/v2/a/manifests/"+next.String(), text, isImage)
		chain = append(chain, next)
	}
	age(t, r.root)
	r.collect(Collected{})
	r.push("a", "latest", "other")
	age(t, r.root)
	r.collect(Collected{Manifests: 6, Blobs: 7})
}

// TestCollectDamaged has a manifest that is not there any more: nothing is collected, and the error says where.
func TestCollectDamaged(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a", "latest", "layer")
	loose := r.blob("a", "loose").Digest.String()
	age(t, r.root)
	if err := os.Remove(filepath.Join(r.root, "a/blobs/sha256", d.Encoded())); err != nil {
		t.Fatal(err)
	}
	if _, err := r.server.Collect(t.Context()); err == nil || !strings.Contains(err.Error(), "repository a: manifest "+d.String()) {
		t.Errorf("%v", err)
	}
	r.want(200, "", "GET", "/v2/a/blobs/"+loose, "")
	r.want(404, codeManifestUnknown, "GET", "/v2/a/manifests/latest", "")
	r.want(202, "", "DELETE", "/v2/a/manifests/"+d.String(), "")
	age(t, r.root)
	r.collect(Collected{Blobs: 3})
}

// TestCollectWhilePushing collects without pause, with almost no grace, while images are pushed and deleted: a push may fail because
// a blob has gone again, but what was pushed is whole.
func TestCollectWhilePushing(t *testing.T) {
	r := start(t, Options{Grace: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	var collector, pushers sync.WaitGroup
	collections := 0
	collector.Go(func() {
		for ctx.Err() == nil {
			if _, err := r.server.Collect(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("collection: %v", err)
			}
			collections++
		}
	})
	for i := range 4 {
		pushers.Go(func() {
			name := fmt.Sprintf("a/%d", i%2)
			for j := range 25 {
				r.pushOften(name, fmt.Sprintf("v%d", i), fmt.Sprintf("layer %d", j%3))
			}
		})
	}
	pushers.Wait()
	stop()
	collector.Wait()
	if collections == 0 {
		t.Error("nothing was collected meanwhile")
	}
	checkFolder(t, r.root)
}

// pushOften pushes an image until its blobs are not collected meanwhile, and looks that all of it is there then.
func (r remote) pushOften(name, tag, layer string) {
	config := `{"os":"linux","architecture":"amd64"}`
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))}}
	m.Layers = []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(layer), Size: int64(len(layer))}}
	m.SchemaVersion = 2
	text, _ := encode(r.t, m)
	for range 1000 {
		for _, blob := range []string{config, layer} {
			if got := r.do("POST", "/v2/"+name+"/blobs/uploads/?digest="+digest.FromString(blob).String(), blob); got.status != 201 && got.status != 404 {
				r.t.Errorf("blob: %+v", got)
			}
		}
		got := r.do("PUT", "/v2/"+name+"/manifests/"+tag, text, isImage)
		if got.status == 201 {
			r.want(200, "", "GET", "/v2/"+name+"/manifests/"+tag, "")
			r.want(200, "", "GET", "/v2/"+name+"/blobs/"+digest.FromString(layer).String(), "")
			r.want(202, "", "DELETE", "/v2/"+name+"/manifests/"+tag, "")
			return
		}
		if !strings.Contains(got.body, codeManifestBlobUnknown) && !strings.Contains(got.body, codeUploadUnknown) {
			r.t.Errorf("manifest: %+v", got)
		}
	}
	r.t.Errorf("%s:%s: not in a thousand pushes", name, tag)
}
