// SPDX-License-Identifier: Apache-2.0

package server

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestParseRoute understands paths.
func TestParseRoute(t *testing.T) {
	for path, want := range map[string]route{
		"/v2":                                  {kind: base},
		"/v2/":                                 {kind: base},
		"/v2/_catalog":                         {kind: catalog},
		"/v2/a/tags/list":                      {kind: tags, name: "a", last: "list"},
		"/v2/a/b/manifests/latest":             {kind: manifests, name: "a/b", last: "latest"},
		"/v2/a/blobs/sha256:00":                {kind: blobs, name: "a", last: "sha256:00"},
		"/v2/a/blobs/uploads/":                 {kind: uploads, name: "a"},
		"/v2/a/blobs/uploads":                  {kind: uploads, name: "a", last: "uploads"},
		"/v2/a/blobs/uploads/0f":               {kind: session, name: "a", last: "0f"},
		"/v2/a/referrers/sha256:00":            {kind: referrers, name: "a", last: "sha256:00"},
		"/v2/a/blobs/uploads/manifests/x":      {kind: manifests, name: "a/blobs/uploads", last: "x"},
		"/v2/manifests/blobs/manifests/x":      {kind: manifests, name: "manifests/blobs", last: "x"},
		"/v2/a/tags/list/manifests/tags":       {kind: manifests, name: "a/tags/list", last: "tags"},
		"/v2/a/manifests/list":                 {kind: manifests, name: "a", last: "list"},
		"/v2/a__b.c---d/blobs/uploads/uploads": {kind: session, name: "a__b.c---d", last: "uploads"},
	} {
		if got, err := parseRoute(path); err != nil || got != want {
			t.Errorf("%s is %+v, want %+v (%v)", path, got, want, err)
		}
	}
	for _, path := range []string{"/v2/tags/list", "/v2/x", "/v2/a/b", "/v2//", "/v2/a/tags/other", "/v2/blobs/uploads/", "/v2/_x/tags/list", "/v2/a__/tags/list", "/v2/a___b/tags/list", "/v2/a//b/tags/list", "/v2/a/tags/list\n"} {
		if got, err := parseRoute(path); err == nil {
			t.Errorf("%q is %+v", path, got)
		}
	}
}

// FuzzRoute looks for a path that leads out of the root, or two names that have one folder.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"/v2/a/b/manifests/latest", "/v2/../x/tags/list", "/v2/a/blobs/uploads/0f", "/v2/a/lock/index.json/blobs/blobs/x", "/v2/a_/tags/list"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, err := parseRoute(path)
		if err != nil || r.name == "" {
			return
		}
		folder := folderOf(r.name)
		if !filepath.IsLocal(folder) || filepath.Clean(folder) != folder || strings.ContainsAny(folder, "\x00\\\n") {
			t.Errorf("%q has the folder %q", path, folder)
		}
		for word := range strings.SplitSeq(folder, "/") {
			if ours("/" + word) {
				t.Errorf("%q has the folder %q, in which %q is none of its", path, folder, word)
			}
		}
		if nameOf(folder) != r.name {
			t.Errorf("%q comes back as %q", r.name, nameOf(folder))
		}
	})
}
