// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// getManifest is GET or HEAD NAME/manifests/REFERENCE (distribution-spec, "Pulling manifests"). Every client that is not
// ancient asks for any of the media types that there are; one that asks for less gets what there is as well.
func (s *Server) getManifest(c *call) error {
	d, err := c.repo.resolve(c.route.last)
	if err != nil {
		return err
	}
	text, err := c.repo.read(d.Digest)
	if err != nil {
		if unknown := new(refusal); errors.As(err, &unknown) {
			return manifestUnknown(c.repo.name, c.route.last)
		}
		return err
	}
	h := c.w.Header()
	h.Set("Docker-Content-Digest", d.Digest.String())
	h.Set("Etag", `"`+d.Digest.String()+`"`)
	if strings.Contains(c.r.Header.Get("If-None-Match"), d.Digest.String()) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", d.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = c.w.Write(text) // who has gone needs no answer; net/http leaves it out for HEAD
	return nil
}

// resolve finds the manifest with a tag or digest.
func (r *repository) resolve(reference string) (ocispec.Descriptor, error) {
	index, err := r.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	unknown := manifestUnknown(r.name, reference)
	if tagGrammar.MatchString(reference) {
		for _, entry := range index.Manifests {
			if tag(entry) == reference {
				return entry, nil
			}
		}
		return ocispec.Descriptor{}, unknown
	}
	d, err := parseDigest(reference)
	if err != nil {
		return ocispec.Descriptor{}, unknown
	}
	return r.find(index, d, unknown)
}

// find finds a manifest by its digest, in the index or, where another program wrote that, below an index in it.
func (r *repository) find(index ocispec.Index, d digest.Digest, unknown error) (ocispec.Descriptor, error) {
	for _, entry := range index.Manifests {
		if entry.Digest == d {
			return entry, nil
		}
	}
	nested := slices.ContainsFunc(index.Manifests, func(entry ocispec.Descriptor) bool { return registry.IsIndex(entry.MediaType) })
	if _, err := r.size(d); err != nil || !nested { // so that not every wrong digest costs a walk
		return ocispec.Descriptor{}, unknown
	}
	found := ocispec.Descriptor{}
	err := r.walk(index, func(m ocispec.Descriptor, _ manifest) {
		if m.Digest == d {
			found = m
		}
	})
	if found.Digest == "" {
		return found, errors.Join(err, unknown)
	}
	return found, nil
}

// walk shows every manifest of a repository once: those of its index and all below. It fails where one is not there or can't be understood,
// after it has shown all others.
func (r *repository) walk(index ocispec.Index, show func(ocispec.Descriptor, manifest)) error {
	var bad []error
	seen := map[digest.Digest]bool{}
	for left := slices.Clone(index.Manifests); len(left) > 0; {
		d := left[len(left)-1]
		left = left[:len(left)-1]
		if seen[d.Digest] || !isManifest(d.MediaType) {
			continue
		}
		seen[d.Digest] = true
		m, err := r.parse(d)
		if err != nil {
			bad = append(bad, fmt.Errorf("manifest %s of %s: %v", d.Digest, r.dir, err)) // %v: it is no refusal of a request
			continue
		}
		show(d, m)
		left = append(left, m.Manifests...)
	}
	return errors.Join(bad...)
}

// parse reads the manifest of a descriptor that another program may have written.
func (r *repository) parse(d ocispec.Descriptor) (manifest, error) {
	if _, err := parseDigest(d.Digest.String()); err != nil {
		return manifest{}, err
	}
	text, err := r.read(d.Digest)
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(d.MediaType, text)
}

// putManifest is PUT NAME/manifests/REFERENCE (distribution-spec, "Pushing manifests").
func (s *Server) putManifest(c *call) error {
	reference := c.route.last
	wanted, err := parseDigest(reference)
	isTag := tagGrammar.MatchString(reference)
	switch {
	case isTag:
		wanted = ""
	case err != nil && strings.Contains(reference, ":"):
		return err
	case err != nil:
		return &refusal{http.StatusBadRequest, codeTagInvalid, "the tag " + quote(reference) +
			" is invalid: it has letters, digits, _ . - and at most 128 of them, and starts with none of . and -"}
	}
	text, err := io.ReadAll(io.LimitReader(newBody(c.w, c.r, s.patience), maxManifest+1))
	if err != nil {
		return manifestInvalid("the body broke off: %v", err)
	}
	if len(text) > maxManifest {
		return &refusal{http.StatusRequestEntityTooLarge, codeSizeInvalid, fmt.Sprintf("the manifest is longer than %d bytes", maxManifest)}
	}
	m, err := parseManifest(c.r.Header.Get("Content-Type"), text)
	if err != nil {
		return err
	}
	d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(text), Size: int64(len(text)), ArtifactType: m.ArtifactType}
	if wanted != "" {
		if d.Digest = wanted.Algorithm().FromBytes(text); d.Digest != wanted {
			return digestInvalid(reference, "the manifest has "+d.Digest.String())
		}
	}
	if !isTag {
		reference = ""
	}
	if err := s.keepManifest(c.repo, d, text, m, reference); err != nil {
		return err
	}
	if m.Subject != nil {
		c.w.Header().Set("OCI-Subject", m.Subject.Digest.String())
	}
	return s.created(c, "manifests", d.Digest)
}

// keepManifest writes a manifest once all that it needs is there, and gives it its tag, if it has one.
func (s *Server) keepManifest(r *repository, d ocispec.Descriptor, text []byte, m manifest, name string) error {
	r.busy.RLock() // from the check to the index nothing that it needs may go
	defer r.busy.RUnlock()
	if err := r.complete(m); err != nil {
		return err
	}
	u, err := s.makeUpload(r)
	if err != nil {
		return err
	}
	defer s.cancel(u)
	f, _, err := u.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := r.adopt(u.file(), d.Digest); err != nil {
		return err
	}
	return r.update(func(index *ocispec.Index) error {
		index.Manifests = tagged(index.Manifests, d, name)
		return nil
	})
}

// complete checks that a repository has all that a manifest needs, in the size that it names.
func (r *repository) complete(m manifest) error {
	for _, need := range m.needs() {
		size, err := r.size(need.Digest)
		unknown := new(refusal)
		switch {
		case errors.As(err, &unknown) && foreign(need):
		case errors.As(err, &unknown):
			return &refusal{http.StatusBadRequest, codeManifestBlobUnknown, fmt.Sprintf(
				"the manifest needs %s (%s), which the repository %s does not have: push it first", need.Digest, need.MediaType, r.name)}
		case err != nil:
			return err
		case size != need.Size:
			return manifestInvalid("it says that %s has %d bytes, but it has %d", need.Digest, need.Size, size)
		}
	}
	return nil
}

// tagged is a list of entries with a manifest that has a tag, or with "" at least an entry. A manifest that loses its last tag
// keeps an entry without one: it can be pulled by digest until it is deleted.
func tagged(list []ocispec.Descriptor, d ocispec.Descriptor, name string) []ocispec.Descriptor {
	list = untagged(list, func(entry ocispec.Descriptor) bool {
		return name != "" && tag(entry) == name && entry.Digest != d.Digest
	})
	same := func(entry ocispec.Descriptor) bool { return entry.Digest == d.Digest }
	switch {
	case name == "" && slices.ContainsFunc(list, same):
		return list
	case name != "":
		list = slices.DeleteFunc(list, func(entry ocispec.Descriptor) bool { return same(entry) && (tag(entry) == "" || tag(entry) == name) })
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	}
	return append(list, d)
}

// untagged takes the tag of the entries that lose it; what has another tag needs no entry without one.
func untagged(list []ocispec.Descriptor, loses func(ocispec.Descriptor) bool) []ocispec.Descriptor {
	var kept, bare []ocispec.Descriptor
	for _, entry := range list {
		if !loses(entry) {
			kept = append(kept, entry)
			continue
		}
		entry.Annotations = maps.Clone(entry.Annotations)
		delete(entry.Annotations, ocispec.AnnotationRefName)
		bare = append(bare, entry)
	}
	for _, entry := range bare {
		if !slices.ContainsFunc(kept, func(k ocispec.Descriptor) bool { return k.Digest == entry.Digest }) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// deleteManifest is DELETE NAME/manifests/REFERENCE: a tag; or, by digest, a manifest with its tags.
func (s *Server) deleteManifest(c *call) error {
	reference := c.route.last
	c.repo.busy.RLock()
	defer c.repo.busy.RUnlock()
	if _, err := c.repo.resolve(reference); err != nil { // before the lock file of what may be no repository
		return err
	}
	err := c.repo.update(func(index *ocispec.Index) error {
		before := len(index.Manifests)
		if tagGrammar.MatchString(reference) {
			loses := func(entry ocispec.Descriptor) bool { return tag(entry) == reference }
			if !slices.ContainsFunc(index.Manifests, loses) {
				return manifestUnknown(c.repo.name, reference)
			}
			index.Manifests = untagged(index.Manifests, loses)
			return nil
		}
		if by, _ := c.repo.needer(*index, digest.Digest(reference)); by != "" { // a broken manifest must not keep itself from being deleted
			return needed(digest.Digest(reference), by)
		}
		index.Manifests = slices.DeleteFunc(index.Manifests, func(entry ocispec.Descriptor) bool { return entry.Digest.String() == reference })
		if len(index.Manifests) == before {
			return manifestUnknown(c.repo.name, reference)
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// needer finds a manifest that needs a blob or manifest. It fails where it can't be sure that there is none.
func (r *repository) needer(index ocispec.Index, d digest.Digest) (by digest.Digest, err error) {
	err = r.walk(index, func(m ocispec.Descriptor, content manifest) {
		if slices.ContainsFunc(content.needs(), func(need ocispec.Descriptor) bool { return need.Digest == d }) {
			by = m.Digest
		}
	})
	return by, err
}

// needed refuses to delete what a manifest needs.
func needed(d, by digest.Digest) error {
	return unsupported(fmt.Sprintf("the manifest %s needs %s: delete that first", by, d))
}
