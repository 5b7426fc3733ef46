// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pages follows the links from a list to its end.
func (r remote) pages(path, member string) [][]string {
	r.t.Helper()
	var all [][]string
	for path != "" {
		got := r.want(200, "", "GET", path, "")
		var list map[string]json.RawMessage
		var page []string
		if err := json.Unmarshal([]byte(got.body), &list); err != nil {
			r.t.Fatal(err)
		}
		if err := json.Unmarshal(list[member], &page); err != nil || page == nil {
			r.t.Fatalf("%s: %s", got.body, err)
		}
		all = append(all, page)
		link, _, _ := strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), `>; rel="next"`)
		if len(all) > 100 {
			r.t.Fatal("the pages don't end")
		}
		path = link
	}
	return all
}

// TestPages lists tags and repositories in pages.
func TestPages(t *testing.T) {
	r := start(t, Options{})
	for _, tag := range []string{"b", "A", "a", "_", "c.1", "10", "9"} {
		r.push("a", tag, "layer")
	}
	for _, name := range []string{"a/b", "a-b", "z", "a.c"} {
		r.push(name, "latest", "layer")
	}
	sorted := []string{"10", "9", "A", "_", "a", "b", "c.1"}
	for path, want := range map[string][][]string{
		"/v2/a/tags/list":              {sorted},
		"/v2/a/tags/list?n=3":          {{"10", "9", "A"}, {"_", "a", "b"}, {"c.1"}},
		"/v2/a/tags/list?n=7":          {sorted},
		"/v2/a/tags/list?n=0":          {{}},
		"/v2/a/tags/list?last=a":       {{"b", "c.1"}},
		"/v2/a/tags/list?last=aa&n=1":  {{"b"}, {"c.1"}},
		"/v2/a/tags/list?last=zz":      {{}},
		"/v2/a/tags/list?n=2147483647": {sorted},
	} {
		if diff := cmp.Diff(want, r.pages(path, "tags")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if diff := cmp.Diff([][]string{{"a", "a-b", "a.c"}, {"a/b", "z"}}, r.pages("/v2/_catalog?n=3", "repositories")); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
}

// TestManyTags lists more tags than a page has.
func TestManyTags(t *testing.T) {
	r := start(t, Options{})
	d := r.push("a", "latest", "layer")
	repo := r.server.repository("a")
	var want []string
	err := repo.update(func(index *ocispec.Index) error {
		for i := range 2500 {
			entry := index.Manifests[0]
			want = append(want, fmt.Sprintf("v%d", i))
			entry.Annotations = map[string]string{ocispec.AnnotationRefName: want[i]}
			index.Manifests = append(index.Manifests, entry)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, "latest")
	slices.Sort(want)
	got := r.pages("/v2/a/tags/list", "tags")
	if len(got) != 3 || !slices.Equal(slices.Concat(got...), want) {
		t.Errorf("%d pages", len(got))
	}
	if got := r.want(200, "", "GET", "/v2/a/manifests/v2499", ""); got.header.Get("Docker-Content-Digest") != d.String() {
		t.Error("the last tag is another manifest's")
	}
}

// TestReferrers lists what has a subject, before and after that has come.
func TestReferrers(t *testing.T) {
	r := start(t, Options{})
	text, subject := r.image("a", nil, "layer")
	refer := func(kind string, annotations map[string]string) digest.Digest {
		text, d := r.image("a", func(m *ocispec.Manifest) {
			m.ArtifactType, m.Annotations = kind, annotations
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: int64(len(text))}
		}, "signature of "+kind)
		got := r.want(201, "", "PUT", "/v2/a/manifests/"+d.String(), text, isImage)
		if got.header.Get("OCI-Subject") != subject.String() {
			t.Errorf("OCI-Subject: %v", got.header)
		}
		return d
	}
	list := func(query string) ([]ocispec.Descriptor, response) {
		t.Helper()
		got := r.want(200, "", "GET", "/v2/a/referrers/"+subject.String()+query, "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || index.MediaType != ocispec.MediaTypeImageIndex || index.SchemaVersion != 2 || index.Manifests == nil {
			t.Fatalf("%s: %v", got.body, err)
		}
		if got.header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
			t.Errorf("%v", got.header)
		}
		return index.Manifests, got
	}
	if found, _ := list(""); len(found) != 0 {
		t.Errorf("before: %v", found)
	}
	one := refer("application/one", map[string]string{"key": "value"})
	two := refer("", nil)
	for range 2 { // the second time from memory
		found, _ := list("")
		if len(found) != 2 {
			t.Fatalf("found %v", found)
		}
	}
	found, got := list("?artifactType=application/one")
	if len(found) != 1 || found[0].Digest != one || found[0].Annotations["key"] != "value" || found[0].Size != r.sizeOf("a", one) || got.header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Errorf("filtered: %v %v", found, got.header)
	}
	if found, _ := list("?artifactType=" + url.QueryEscape(ocispec.MediaTypeImageConfig)); len(found) != 1 || found[0].Digest != two { // the configuration's type stands in
		t.Errorf("without an artifact type: %v", found)
	}
	r.want(201, "", "PUT", "/v2/a/manifests/latest", text, isImage)
	if found, _ := list(""); len(found) != 2 {
		t.Errorf("after the subject: %v", found)
	}
	r.want(202, "", "DELETE", "/v2/a/manifests/"+one.String(), "")
	if found, _ := list(""); len(found) != 1 || found[0].Digest != two {
		t.Errorf("after a deletion: %v", found)
	}
	if got := r.want(200, "", "GET", "/v2/none/referrers/"+subject.String(), ""); !strings.Contains(got.body, `"manifests":[]`) {
		t.Errorf("of no repository: %s", got.body)
	}
}

// TestReferrersInPages has more referrers than an answer may have bytes.
func TestReferrersInPages(t *testing.T) {
	r := start(t, Options{})
	subject := digest.FromString("subject")
	for i := range 3 {
		text, _ := r.image("a", func(m *ocispec.Manifest) {
			m.Annotations = map[string]string{"long": strings.Repeat(fmt.Sprint(i), 2<<20)}
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 7}
		})
		r.want(201, "", "PUT", fmt.Sprintf("/v2/a/manifests/v%d", i), text, isImage)
	}
	path, found := "/v2/a/referrers/"+subject.String(), 0
	for pages := 1; path != ""; pages++ {
		got := r.want(200, "", "GET", path, "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || len(got.body) > maxManifest || pages > 3 {
			t.Fatalf("page %d has %d bytes: %v", pages, len(got.body), err)
		}
		found += len(index.Manifests)
		path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">")
	}
	if found != 3 {
		t.Errorf("found %d referrers", found)
	}
}
