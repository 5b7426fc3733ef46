// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestMain runs the tests; or, for TestKilled, a registry that gets killed.
func TestMain(m *testing.M) {
	if root := os.Getenv("STAVE_TEST_ROOT"); root != "" {
		fmt.Fprintln(os.Stderr, serveForever(root))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// remote is a registry under test, over HTTP.
type remote struct {
	t      *testing.T
	server *Server
	url    string
	root   string
}

// start starts a registry with a new folder. A problem that it tells of fails the test.
func start(t *testing.T, o Options) remote {
	t.Helper()
	return startAt(t, t.TempDir(), o)
}

// startAt starts a registry with a folder.
func startAt(t *testing.T, root string, o Options) remote {
	t.Helper()
	if o.Problem == nil {
		o.Problem = func(err error) { t.Errorf("problem: %v", err) }
	}
	s, err := Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return remote{t, s, web.URL, root}
}

// answered is a response that has been read.
type response struct {
	status int
	header http.Header
	body   string
}

// do sends a request; headers are "Name: value".
func (r remote) do(method, path, body string, headers ...string) response {
	r.t.Helper()
	return r.send(method, path, strings.NewReader(body), headers...)
}

// send sends a request with a body from a reader.
func (r remote) send(method, path string, body io.Reader, headers ...string) response {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response{answer.StatusCode, answer.Header, string(text)}
}

// want sends a request and fails the test where the status, or the code of an error, is another.
func (r remote) want(status int, code, method, path, body string, headers ...string) response {
	r.t.Helper()
	got := r.do(method, path, body, headers...)
	if got.status != status {
		r.t.Errorf("%s %s: status %d, want %d: %s", method, path, got.status, status, got.body)
	}
	if code == "" {
		return got
	}
	var report struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(got.body), &report); err != nil || len(report.Errors) != 1 || report.Errors[0].Code != code || report.Errors[0].Message == "" {
		r.t.Errorf("%s %s: the body is %s, want the code %s", method, path, got.body, code)
	}
	return got
}

// blob pushes a blob in one request.
func (r remote) blob(name, content string) ocispec.Descriptor {
	r.t.Helper()
	d := digest.FromString(content)
	r.want(201, "", "POST", "/v2/"+name+"/blobs/uploads/?digest="+d.String(), content)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: int64(len(content))}
}

// image is a manifest with a configuration and layers, which are pushed.
func (r remote) image(name string, change func(*ocispec.Manifest), layers ...string) (string, digest.Digest) {
	r.t.Helper()
	config := r.blob(name, `{"os":"linux","architecture":"amd64"}`)
	config.MediaType = ocispec.MediaTypeImageConfig
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	for _, layer := range layers {
		m.Layers = append(m.Layers, r.blob(name, layer))
	}
	if change != nil {
		change(&m)
	}
	return encode(r.t, m)
}

// encode writes JSON and its digest.
func encode(t *testing.T, value any) (string, digest.Digest) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), digest.FromBytes(text)
}

// isImage is the header of a manifest, isIndexType that of an index.
const (
	isImage     = "Content-Type: " + ocispec.MediaTypeImageManifest
	isIndexType = "Content-Type: " + ocispec.MediaTypeImageIndex
)

// push pushes an image with a tag.
func (r remote) push(name, tag string, layers ...string) digest.Digest {
	r.t.Helper()
	text, d := r.image(name, nil, layers...)
	r.want(201, "", "PUT", "/v2/"+name+"/manifests/"+tag, text, isImage)
	return d
}

// TestPushAndPull pushes an image and pulls it by tag and by digest.
func TestPushAndPull(t *testing.T) {
	r := start(t, Options{})
	layer := strings.Repeat("layer", 100_000)
	text, d := r.image("library/busybox", nil, layer)
	put := r.want(201, "", "PUT", "/v2/library/busybox/manifests/latest", text, isImage)
	if got := put.header.Get("Location"); got != "/v2/library/busybox/manifests/"+d.String() {
		t.Errorf("Location is %s", got)
	}
	for _, reference := range []string{"latest", d.String()} {
		got := r.want(200, "", "GET", "/v2/library/busybox/manifests/"+reference, "")
		if got.body != text || got.header.Get("Docker-Content-Digest") != d.String() || got.header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %v", reference, got)
		}
		head := r.want(200, "", "HEAD", "/v2/library/busybox/manifests/"+reference, "")
		if head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(text)) || head.header.Get("Docker-Content-Digest") != d.String() {
			t.Errorf("HEAD %s: %v", reference, head)
		}
		r.want(304, "", "GET", "/v2/library/busybox/manifests/"+reference, "", `If-None-Match: "`+d.String()+`"`)
	}
	blob := "/v2/library/busybox/blobs/" + digest.FromString(layer).String()
	if got := r.want(200, "", "GET", blob, ""); got.body != layer || got.header.Get("Docker-Content-Digest") != digest.FromString(layer).String() {
		t.Error("the layer has changed")
	}
	if got := r.want(206, "", "GET", blob, "", "Range: bytes=499995-"); got.body != "layer" || got.header.Get("Content-Range") != "bytes 499995-499999/500000" {
		t.Errorf("the end of the layer is %q, %v", got.body, got.header)
	}
	r.want(416, "", "GET", blob, "", "Range: bytes=500000-")
	r.want(200, "", "GET", "/v2/", "")
	r.want(200, "", "GET", "/v2", "")
}

// TestRefusals asks for what isn't there or can't be.
func TestRefusals(t *testing.T) {
	r := start(t, Options{})
	r.push("a", "latest", "layer")
	none := digest.FromString("none").String()
	for name, c := range map[string]struct {
		method, path string
		status       int
		code         string
	}{
		"unknown tag":           {"GET", "/v2/a/manifests/other", 404, codeManifestUnknown},
		"unknown manifest":      {"GET", "/v2/a/manifests/" + none, 404, codeManifestUnknown},
		"invalid reference":     {"GET", "/v2/a/manifests/.x", 404, codeManifestUnknown},
		"unknown blob":          {"GET", "/v2/a/blobs/" + none, 404, codeBlobUnknown},
		"unknown repository":    {"GET", "/v2/b/tags/list", 404, codeNameUnknown},
		"blob there":            {"GET", "/v2/b/blobs/" + none, 404, codeBlobUnknown},
		"manifest there":        {"GET", "/v2/b/manifests/latest", 404, codeNameUnknown},
		"invalid name":          {"GET", "/v2/A/tags/list", 400, codeNameInvalid},
		"long name":             {"GET", "/v2/" + strings.Repeat("a/", 127) + "aa/tags/list", 400, codeNameInvalid},
		"invalid digest":        {"GET", "/v2/a/blobs/sha256:x", 400, codeDigestInvalid},
		"other algorithm":       {"GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", 400, codeDigestInvalid},
		"invalid tag":           {"PUT", "/v2/a/manifests/.x", 400, codeTagInvalid},
		"long tag":              {"PUT", "/v2/a/manifests/" + strings.Repeat("x", 129), 400, codeTagInvalid},
		"unknown upload":        {"PATCH", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef", 404, codeUploadUnknown},
		"invalid upload":        {"GET", "/v2/a/blobs/uploads/..", 404, codeUploadUnknown},
		"no path of it":         {"GET", "/v2/a/others/x", 404, codeUnsupported},
		"method of a blob":      {"PUT", "/v2/a/blobs/" + none, 405, codeUnsupported},
		"method of tags":        {"POST", "/v2/a/tags/list", 405, codeUnsupported},
		"method of the base":    {"DELETE", "/v2/", 405, codeUnsupported},
		"n":                     {"GET", "/v2/a/tags/list?n=-1", 400, codePageInvalid},
		"referrers of no thing": {"GET", "/v2/a/referrers/latest", 400, codeDigestInvalid},
		"delete unknown tag":    {"DELETE", "/v2/a/manifests/other", 404, codeManifestUnknown},
		"delete unknown":        {"DELETE", "/v2/a/manifests/" + none, 404, codeManifestUnknown},
		"delete unknown blob":   {"DELETE", "/v2/a/blobs/" + none, 404, codeBlobUnknown},
		"delete without folder": {"DELETE", "/v2/b/manifests/other", 404, codeNameUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			r.t = t
			got := r.want(c.status, c.code, c.method, c.path, "")
			if c.status == 405 && !strings.Contains(got.header.Get("Allow"), "GET, HEAD") {
				t.Errorf("Allow is %q", got.header.Get("Allow"))
			}
		})
	}
	if _, err := os.Stat(r.root + "/b"); !os.IsNotExist(err) {
		t.Errorf("a refused request has made a folder: %v", err)
	}
}

// TestTraversal tries to get out of the folder, with paths as they are on the wire.
func TestTraversal(t *testing.T) {
	outside := t.TempDir()
	secret := outside + "/secret"
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startAt(t, outside+"/root", Options{})
	r.push("a", "latest", "layer")
	for _, path := range []string{
		"/v2/../secret", "/v2/%2e%2e/secret", "/v2/a/blobs/..%2f..%2f..%2f..%2fsecret", "/v2/a/blobs/sha256:..%2f..%2f..%2f..%2fsecret",
		"/v2/a/blobs/uploads/..%2f..%2f..%2fsecret", "/v2/../root/a/manifests/latest", "/v2/a/manifests/..%2f..%2fsecret", "/v2/..%2fa/tags/list",
		"/v2/a/../../tags/list", "/v2//etc/tags/list", "/v2/_lock/tags/list", "/v2/a/_uploads/tags/list", "/v2/a%00/tags/list", "/repository/../secret",
		"/repository/..%2f..%2fsecret", "/style.css/../../secret",
	} {
		for _, method := range []string{"GET", "PUT", "PATCH", "POST", "DELETE"} {
			request := httptest.NewRequest(method, "http://registry/", strings.NewReader("{}"))
			request.URL.RawPath = path
			var err error
			if request.URL.Path, err = unescape(path); err != nil {
				t.Fatal(err)
			}
			answer := httptest.NewRecorder()
			r.server.ServeHTTP(answer, request)
			if answer.Code < 400 || answer.Code > 499 || strings.Contains(answer.Body.String(), "secret\n") {
				t.Errorf("%s %s: %d %s", method, path, answer.Code, answer.Body)
			}
		}
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("the file outside is %q, %v", text, err)
	}
}

// unescape decodes a path as net/http does.
func unescape(path string) (string, error) {
	request, err := http.ReadRequest(newReader("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	if err != nil {
		return "", err
	}
	return request.URL.Path, nil
}

// TestNamesLikeFiles uses names that a layout has for its own files, and names in names.
func TestNamesLikeFiles(t *testing.T) {
	r := start(t, Options{})
	names := []string{"a", "b/index.json.new", "b/oci-layout.new", "b", "a/blobs", "a/blobs/sha256", "a/index.json", "a/lock", "a/oci-layout", "blobs", "index.json", "lock", "a/tags/list", "manifests/manifests", "a-b"}
	want := map[string]digest.Digest{}
	for _, name := range names {
		want[name] = r.push(name, "latest", "layer of "+name)
	}
	for _, name := range names {
		got := r.want(200, "", "HEAD", "/v2/"+name+"/manifests/latest", "")
		if got.header.Get("Docker-Content-Digest") != want[name].String() {
			t.Errorf("%s has become %v", name, got.header)
		}
	}
	list := r.want(200, "", "GET", "/v2/_catalog", "")
	var catalog struct{ Repositories []string }
	if err := json.Unmarshal([]byte(list.body), &catalog); err != nil || len(catalog.Repositories) != len(names) {
		t.Errorf("the catalog is %s", list.body)
	}
}

// TestReadOnly asks a read-only registry to change something.
func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	func() {
		s, err := Open(root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		web := httptest.NewServer(s)
		defer web.Close()
		remote{t, s, web.URL, root}.push("a", "latest", "layer")
	}()
	before := listing(t, root)
	r := startAt(t, root, Options{ReadOnly: true})
	startAt(t, root, Options{ReadOnly: true}) // several may
	layer := digest.FromString("layer").String()
	r.want(200, "", "GET", "/v2/a/manifests/latest", "")
	r.want(200, "", "HEAD", "/v2/a/blobs/"+layer, "")
	for _, request := range [][2]string{
		{"POST", "/v2/a/blobs/uploads/"},
		{"PUT", "/v2/a/manifests/latest"},
		{"DELETE", "/v2/a/manifests/latest"},
		{"DELETE", "/v2/a/blobs/" + layer},
		{"PATCH", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef"},
	} {
		r.want(405, codeUnsupported, request[0], request[1], "")
	}
	if _, err := r.server.Collect(t.Context()); err == nil {
		t.Error("a read-only registry is collected")
	}
	if after := listing(t, root); after != before {
		t.Errorf("the folder has changed from\n%s\nto\n%s", before, after)
	}
}

// TestOtherSites has a page of another site use the browser of somebody who is logged in.
func TestOtherSites(t *testing.T) {
	r := start(t, Options{})
	r.push("a", "latest", "layer")
	r.want(403, codeDenied, "POST", "/v2/a/blobs/uploads/", "", "Sec-Fetch-Site: cross-site")
	r.want(403, codeDenied, "DELETE", "/v2/a/manifests/latest", "", "Origin: https://example.org")
	r.want(200, "", "GET", "/v2/a/manifests/latest", "", "Sec-Fetch-Site: cross-site")
	r.want(202, "", "POST", "/v2/a/blobs/uploads/", "", "Origin: "+r.url)
}

// TestOneServer lets two servers have one folder.
func TestOneServer(t *testing.T) {
	r := start(t, Options{})
	if _, err := Open(r.root, Options{}); err == nil || !strings.Contains(err.Error(), "another registry serves this folder") {
		t.Errorf("a second server: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{Tokens: true}); err == nil {
		t.Error("tokens without accounts")
	}
	if _, err := Open(r.root+"/none", Options{ReadOnly: true}); err == nil {
		t.Error("a read-only registry without a folder")
	}
}

// TestMetrics counts and looks at the health and the log.
func TestMetrics(t *testing.T) {
	var log bytes.Buffer
	r := start(t, Options{Log: &log})
	r.push("a", "latest", "layer")
	r.do("BREW", "/v2/a/tags/list", "")
	r.do("GET", "/v2/a/tags/%22%0alist", "")
	r.want(206, "", "GET", "/v2/a/blobs/"+digest.FromString("layer").String(), "", "Range: bytes=1-3")
	if got := r.want(200, "", "GET", "/healthz", ""); got.body != "ok\n" {
		t.Errorf("the health is %q", got.body)
	}
	got := r.want(200, "", "GET", "/metrics", "").body
	for _, line := range []string{
		`stave_registry_requests_total{method="POST",code="201"} 2`, `stave_registry_requests_total{method="PUT",code="201"} 1`,
		`stave_registry_requests_total{method="other",code="405"} 1`, "stave_registry_blobs_pushed_total 2", "stave_registry_uploads_started_total 2",
		"stave_registry_uploads 0",
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("the metrics lack %s:\n%s", line, got)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 8 || !strings.Contains(lines[2], `"PUT /v2/a/manifests/latest HTTP/1.1" 201 0 `) || !strings.HasPrefix(lines[2], "127.0.0.1 - - [") ||
		!strings.Contains(lines[5], ` HTTP/1.1" 206 3 `) {
		t.Errorf("the log has %d lines:\n%s", len(lines), log.String())
	}
	if err := os.RemoveAll(r.root); err != nil {
		t.Fatal(err)
	}
	r.server.o.Problem = nil
	r.want(503, "", "GET", "/healthz", "")
}
