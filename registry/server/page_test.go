// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// page gets a page for people and checks what every one of them has to have.
func (r remote) page(path string, status int) string {
	r.t.Helper()
	got := r.want(status, "", "GET", path, "")
	for _, part := range []string{`<html lang="en">`, "<title>", `<a class="skip" href="#main">`, `<main id="main"`, "<h1>", "</html>"} {
		if strings.Count(got.body, part) != 1 {
			r.t.Errorf("%s has not one %s:\n%s", path, part, got.body)
		}
	}
	if csp := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		r.t.Errorf("%s: %s", path, csp)
	}
	if strings.Contains(got.body, "<script") || strings.Contains(got.body, "ZgotmplZ") {
		r.t.Errorf("%s has a script, or what the templates refuse:\n%s", path, got.body)
	}
	wellFormed(r.t, got.body)
	return got.body
}

// wellFormed checks that all elements are closed, and in order.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	var closed strings.Builder // without the elements that HTML doesn't close
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "<meta ") && !strings.HasPrefix(line, "<link ") {
			closed.WriteString(line)
		}
	}
	d := xml.NewDecoder(strings.NewReader(closed.String()))
	d.Entity = xml.HTMLEntity
	for {
		_, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
			return
		}
	}
}

// TestPagesForPeople looks at every page, with text that wants to be markup.
func TestPagesForPeople(t *testing.T) {
	r := start(t, Options{})
	if text := r.page("/", 200); !strings.Contains(text, "There is nothing here yet") {
		t.Errorf("empty:\n%s", text)
	}
	evil := `"><script>alert(1)</script>`
	config := fmt.Sprintf(`{"os":"linux","architecture":"arm64","variant":"v8","created":"2026-11-21T20:00:00Z","history":[{"created_by":%q},{"empty_layer":true},{"created_by":"COPY second"}]}`, evil)
	text, d := r.image("library/busybox", func(m *ocispec.Manifest) {
		m.Config = r.blob("library/busybox", config)
		m.Config.MediaType = ocispec.MediaTypeImageConfig
	}, strings.Repeat("x", 3_000_000), "second")
	r.want(201, "", "PUT", "/v2/library/busybox/manifests/latest", text, isImage)
	x := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(text)), Platform: &ocispec.Platform{OS: "linux", Architecture: evil}},
	}}
	x.SchemaVersion = 2
	index, top := encode(t, x)
	r.want(201, "", "PUT", "/v2/library/busybox/manifests/all", index, isIndexType)
	signature, signed := r.image("library/busybox", func(m *ocispec.Manifest) {
		m.ArtifactType = evil
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1}
	})
	r.want(201, "", "PUT", "/v2/library/busybox/manifests/"+signed.String(), signature, isImage)
	r.push("z", "latest", "layer")
	for path, parts := range map[string][]string{
		"/": {`<a href="/repository/library/busybox">library/busybox</a></th><td class="number">2<`, `<a href="/repository/z">`, "2 repositories"},
		"/repository/library/busybox": {
			`<th scope="row">all</th>`, `<th scope="row">latest</th>`, "linux/arm64/v8", "/repository/library/busybox@" + d.String(), "no tag", "3 manifests", "3MB",
		},
		"/repository/library/busybox@" + d.String(): {
			"docker pull " + strings.TrimPrefix(r.url, "http://") + "/library/busybox@" + d.String(), "COPY second", "&gt;&lt;script&gt;", "2026-11-21T20:00:00Z",
			"Manifests that refer to this one", "/repository/library/busybox@" + signed.String(), "Layers, the lowest first", "<dd>latest</dd>",
		},
		"/repository/library/busybox:latest":          {d.String()},
		"/repository/library/busybox@" + top.String(): {"/repository/library/busybox@" + d.String(), "linux/"},
	} {
		text := r.page(path, 200)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %s:\n%s", path, part, text)
			}
		}
	}
	for _, path := range []string{"/none", "/repository/none", "/repository/z@" + digest.FromString("none").String(), "/repository/z:none"} {
		r.page(path, 404)
	}
	r.page("/repository/%3Cscript%3E", 400)
	r.want(405, "", "POST", "/", "")
	if got := r.want(200, "", "GET", "/style.css", ""); got.header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(got.body, "focus-visible") {
		t.Errorf("style: %v", got.header)
	}
}

// TestLongPages turns the pages of long lists.
func TestLongPages(t *testing.T) {
	r := start(t, Options{})
	r.push("a", "latest", "layer")
	err := r.server.repository("a").update(func(index *ocispec.Index) error {
		for i := range 250 {
			entry := index.Manifests[0]
			entry.Annotations = map[string]string{ocispec.AnnotationRefName: fmt.Sprintf("v%03d", i)}
			index.Manifests = append(index.Manifests, entry)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, path := "", "/repository/a"
	for range 3 {
		text := r.page(path, 200)
		seen += text
		_, rest, _ := strings.Cut(text, `<a rel="next" href="`)
		path, _, _ = strings.Cut(rest, `"`)
	}
	if path != "" || strings.Count(seen, `<th scope="row">`) != 251 {
		t.Errorf("after three pages: %q, %d rows", path, strings.Count(seen, `<th scope="row">`))
	}
	for i := range 120 {
		r.blob(fmt.Sprintf("r%03d", i), "layer")
	}
	if text := r.page("/", 200); !strings.Contains(text, `href="/?last=r098"`) {
		t.Errorf("the first page of repositories:\n%s", text)
	}
	if text := r.page("/?last=r098", 200); !strings.Contains(text, "r099") || strings.Contains(text, ">r098<") || strings.Contains(text, "Next page") {
		t.Errorf("the second page of repositories:\n%s", text)
	}
}
