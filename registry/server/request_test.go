// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzRequest sends requests to one server: none may be its fault, panic, or change what is beside its folder.
func FuzzRequest(f *testing.F) {
	d := digest.FromString("layer").String()
	f.Add("GET", "/v2/a/blobs/"+d, "bytes=1-3,0-0", "", []byte(nil))
	f.Add("HEAD", "/v2/a/blobs/"+d, "bytes=-9999999999999999999", "", []byte(nil))
	f.Add("POST", "/v2/a/blobs/uploads/?digest="+d, "", "0-4", []byte("layer"))
	f.Add("POST", "/v2/b/blobs/uploads/?mount="+d+"&from=../a", "", "", []byte(nil))
	f.Add("PATCH", "/v2/a/blobs/uploads/00000000000000000000000000000000", "", "bytes 0-4/5", []byte("layer"))
	f.Add("PUT", "/v2/a/manifests/latest", "", "application/vnd.oci.image.index.v1+json", []byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Add("DELETE", "/v2/a/manifests/latest", "", "", []byte(nil))
	f.Add("GET", "/v2/a/referrers/"+d+"?artifactType=x&last=%00", "", "", []byte(nil))
	f.Add("GET", "/v2/a/tags/list?n=1&last=%2e%2e", "", "", []byte(nil))
	f.Add("GET", "/repository/a@"+d, "", "", []byte(nil))
	f.Add("GET", "/../../etc/passwd", "", "", []byte(nil))
	parent := f.TempDir()
	witness := filepath.Join(parent, "beside")
	if err := os.WriteFile(witness, []byte("beside"), 0o600); err != nil {
		f.Fatal(err)
	}
	s, err := Open(filepath.Join(parent, "root"), Options{Problem: func(err error) { f.Logf("problem: %v", err) }})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, method, target, ranges, header string, content []byte) {
		r, err := http.NewRequest(method, "http://registry/", bytes.NewReader(content))
		if err != nil {
			return
		}
		path, query, _ := strings.Cut(target, "?")
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Range", ranges)
		r.Header.Set("Content-Range", header)
		r.Header.Set("Content-Type", header)
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		if answer.Code >= 500 {
			t.Errorf("%s %q: %d %s", method, target, answer.Code, answer.Body)
		}
		if text, err := os.ReadFile(witness); err != nil || string(text) != "beside" {
			t.Fatalf("%s %q has changed what is beside the folder: %q %v", method, target, text, err)
		}
		if entries, err := os.ReadDir(parent); err != nil || len(entries) != 2 {
			t.Fatalf("%s %q: %d files beside the folder, %v", method, target, len(entries), err)
		}
	})
}
