// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxPage is how many names a page has at most.
const maxPage = 1000

// listTags is GET NAME/tags/list (distribution-spec, "Listing Tags").
func (s *Server) listTags(c *call) error {
	index, err := c.repo.index()
	if err != nil {
		return err
	}
	page, err := s.page(c, tagsOf(index))
	if err != nil {
		return err
	}
	return send(c.w, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo.name, page})
}

// listRepositories is GET _catalog, which is the distribution project's.
func (s *Server) listRepositories(c *call) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	page, err := s.page(c, names)
	if err != nil {
		return err
	}
	return send(c.w, "application/json", struct {
		Repositories []string `json:"repositories"`
	}{page})
}

// page is the part of a sorted list that a request asks for with n and last, with a link to the next one.
func (s *Server) page(c *call, list []string) ([]string, error) {
	query := c.r.URL.Query()
	n := maxPage
	if text := query.Get("n"); text != "" {
		asked, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, &refusal{http.StatusBadRequest, codePageInvalid, "n is " + quote(text) + ", not a number from 0"}
		}
		n = min(n, int(asked))
	}
	page := list[after(list, query.Get("last")):]
	if len(page) > n {
		page = page[:n]
		if n > 0 {
			c.next(url.Values{"n": {strconv.Itoa(n)}, "last": {page[n-1]}})
		}
	}
	return append([]string{}, page...), nil // in JSON a list without members, and no null
}

// after is the place in a sorted list where the names behind last begin.
func after(list []string, last string) int {
	i, found := slices.BinarySearch(list, last)
	if found {
		i++
	}
	return i
}

// next links to the next page (RFC 8288).
func (c *call) next(query url.Values) {
	c.w.Header().Set("Link", "<"+c.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
}

// send answers with JSON.
func send(w http.ResponseWriter, mediaType string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // who has gone needs no answer
	return nil
}

// names are the names of all repositories, in the order of their bytes.
func (s *Server) names() ([]string, error) {
	var names []string
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has just gone
			return nil
		case err != nil:
			return err
		case path == s.root:
			return nil
		case entry.IsDir() && ours(path):
			return fs.SkipDir
		case entry.Name() == ocispec.ImageIndexFile && entry.Type().IsRegular():
			folder, err := filepath.Rel(s.root, filepath.Dir(path))
			if name := nameOf(folder); err == nil && checkName(name) == nil && folderOf(name) == folder {
				names = append(names, name)
			}
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// ours tells whether a folder is a layout's own or the server's, and no part of a name.
func ours(path string) bool {
	base := filepath.Base(path)
	return slices.Contains(reserved(), base) || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".")
}

// listReferrers is GET NAME/referrers/DIGEST (distribution-spec, "Listing Referrers"). Of what isn't there an empty list is
// given: 404 would say that the server doesn't know the request.
func (s *Server) listReferrers(c *call) error {
	subject, err := parseDigest(c.route.last)
	if err != nil {
		return err
	}
	list, err := s.referrersOf(c.repo, subject)
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	if query.Has("artifactType") {
		list = slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return d.ArtifactType != query.Get("artifactType") })
		c.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	keys := make([]string, len(list))
	for i, d := range list {
		keys[i] = d.Digest.String()
	}
	list = list[after(keys, query.Get("last")):]
	if page := fitting(list); len(page) < len(list) {
		list = page
		query.Set("last", page[len(page)-1].Digest.String())
		c.next(query)
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, list...)}
	index.SchemaVersion = 2
	return send(c.w, ocispec.MediaTypeImageIndex, index)
}

// fitting is as much of a list as an index of the size of a manifest can have; one at least.
func fitting(list []ocispec.Descriptor) []ocispec.Descriptor {
	size := 0
	for i, d := range list {
		text, _ := json.Marshal(d) // texts and numbers
		size += len(text) + 1
		if size > maxManifest-1000 && i > 0 {
			return list[:i]
		}
	}
	return list
}

// referrersOf lists the manifests with a subject, in the order of their digests. Of all others only the subjects are remembered, for the
// next time.
func (s *Server) referrersOf(r *repository, subject digest.Digest) ([]ocispec.Descriptor, error) {
	index, err := r.index()
	if unknown := new(refusal); errors.As(err, &unknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[digest.Digest]ocispec.Descriptor{}
	for _, entry := range index.Manifests {
		if known, ok := s.subjects.get(entry.Digest); ok && known != subject {
			continue
		}
		m, err := r.parse(entry)
		if err != nil { // another program's, or just being deleted
			continue
		}
		s.subjects.put(entry.Digest, m)
		if m.Subject != nil && m.Subject.Digest == subject {
			found[entry.Digest] = ocispec.Descriptor{
				MediaType: m.MediaType, Digest: entry.Digest, Size: entry.Size, ArtifactType: m.artifactType(), Annotations: m.Annotations,
			}
		}
	}
	list := make([]ocispec.Descriptor, 0, len(found))
	for _, d := range found {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return list, nil
}
