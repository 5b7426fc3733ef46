// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// maxManifest is how many bytes a manifest may have: what registries have to accept (distribution-spec, "Pushing Manifests").
const maxManifest = 4 << 20

// The media types of manifests that are not made any more: Docker's schema 1, and OCI's manifest for artifacts.
const (
	dockerSchema1 = "application/vnd.docker.distribution.manifest.v1+"
	ociArtifact   = "application/vnd.oci.artifact.manifest.v1+json"
)

// manifest is the bytes of a manifest with their digest and type.
type manifest struct {
	ocispec.Descriptor
	text []byte
}

// manifestTypes are the types of manifests that are asked for.
func manifestTypes() []string {
	return []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, registry.MediaTypeDockerIndex, registry.MediaTypeDockerManifest}
}

// isManifest says whether a media type is one of manifests, indexes among them.
func isManifest(mediaType string) bool {
	return registry.IsManifest(mediaType) || registry.IsIndex(mediaType) || mediaType == ociArtifact
}

// Resolve returns the descriptor of the manifest that has a tag or a digest.
func (r *Repository) Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	var d ocispec.Descriptor
	err := checkRef(ref)
	if err == nil {
		err = r.read(ctx, func(e endpoint) error {
			var err error
			d, err = r.resolveAt(ctx, e, ref)
			return err
		})
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolve %s: %w", r.object(ref), err)
	}
	return d, nil
}

// checkRef refuses what is neither a tag nor a digest.
func checkRef(ref string) error {
	if strings.Contains(ref, ":") {
		return digest.Digest(ref).Validate()
	}
	if match := reference.TagRegexp.FindString(ref); ref == "" || match != ref {
		return reference.ErrTagInvalidFormat
	}
	return nil
}

// resolveAt asks one place for a manifest: for its headers, which should say all, or else for its bytes.
func (r *Repository) resolveAt(ctx context.Context, e endpoint, ref string) (ocispec.Descriptor, error) {
	response, err := r.look(ctx, e, "manifests/"+ref, acceptManifests())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer response.Body.Close()
	if response.Request.Method == http.MethodHead {
		if d, ok := described(response, ref); ok {
			return d, checkDigest(response, d.Digest)
		}
		response.Body.Close()
		m, err := r.manifestAt(ctx, e, ref)
		return m.Descriptor, err
	}
	m, err := r.readManifest(response, ref)
	return m.Descriptor, err
}

// acceptManifests is the header of a request for a manifest of any type.
func acceptManifests() http.Header { return http.Header{"Accept": manifestTypes()} }

// described reads a descriptor from the headers of an answer to HEAD. It is not ok if they don't say all.
func described(response *http.Response, ref string) (d ocispec.Descriptor, ok bool) {
	d.MediaType = mediaType(response)
	d.Size = response.ContentLength
	d.Digest = digest.Digest(ref)
	if d.Digest.Validate() != nil {
		d.Digest = digest.Digest(response.Header.Get("Docker-Content-Digest"))
	}
	return d, d.Digest.Validate() == nil && d.Size > 0 && d.Size <= maxManifest && isManifest(d.MediaType)
}

// mediaType is the type that an answer has by its header.
func mediaType(response *http.Response) string {
	name, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return name
}

// manifestAt gets a manifest from one place.
func (r *Repository) manifestAt(ctx context.Context, e endpoint, ref string) (manifest, error) {
	q := r.request(ctx, e, http.MethodGet, "manifests/"+ref, nil)
	q.header = acceptManifests()
	response, err := r.client.ok(ctx, q, http.StatusOK)
	if err != nil {
		return manifest{}, err
	}
	defer response.Body.Close()
	return r.readManifest(response, ref)
}

// readManifest reads a manifest that was asked for by tag or digest, and keeps it.
func (r *Repository) readManifest(response *http.Response, ref string) (manifest, error) {
	text, err := readAll(response.Body, maxManifest)
	if err != nil {
		return manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	want := digest.Digest(ref)
	algorithm := digest.Canonical
	if want.Validate() == nil {
		algorithm = want.Algorithm()
	}
	m := manifest{text: text, Descriptor: ocispec.Descriptor{Digest: algorithm.FromBytes(text), Size: int64(len(text))}}
	if want.Validate() == nil && m.Digest != want {
		return manifest{}, fmt.Errorf("%w: %s gives a manifest with %s", registry.ErrDigest, response.Request.URL.Host, m.Digest)
	}
	if err := checkDigest(response, m.Digest); err != nil {
		return manifest{}, err
	}
	if m.MediaType, err = typeOf(mediaType(response), text); err != nil {
		return manifest{}, err
	}
	r.keep(m)
	return m, nil
}

// typeOf is the type of a manifest: what it says of itself, or else what the registry says.
func typeOf(header string, text []byte) (string, error) {
	var body struct {
		MediaType string `json:"mediaType"`
		Schema    int    `json:"schemaVersion"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return "", fmt.Errorf("read manifest: %w", err)
	}
	found := orElse(body.MediaType, header)
	switch {
	case isManifest(found):
		return found, nil
	case body.Schema == 1 || strings.HasPrefix(found, dockerSchema1):
		return "", fmt.Errorf("a manifest of Docker's schema 1: %w; pull the image with a program that knows it and push it again", registry.ErrUnsupported)
	}
	return "", fmt.Errorf("a manifest of type %s: %w", printable(fmt.Sprintf("%q", found), 100), registry.ErrUnsupported)
}

// keep remembers a manifest.
func (r *Repository) keep(m manifest) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.last = m
}

// kept returns the manifest of a digest if it was the last one.
func (r *Repository) kept(d digest.Digest) (manifest, bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.last, r.last.Digest == d
}

// Tag gives a manifest that is in the repository a tag, which means to put its bytes once more.
func (r *Repository) Tag(ctx context.Context, d ocispec.Descriptor, ref string) error {
	err := checkRef(ref)
	if err == nil {
		err = r.tag(ctx, d, ref)
	}
	if err != nil {
		return fmt.Errorf("tag %s as %s: %w", r.object(d.Digest.String()), ref, err)
	}
	return nil
}

// tag puts a manifest under a tag.
func (r *Repository) tag(ctx context.Context, d ocispec.Descriptor, ref string) error {
	if err := registry.CheckDescriptor(d); err != nil {
		return err
	}
	if want := digest.Digest(ref); want.Validate() == nil && want != d.Digest {
		return fmt.Errorf("%w: the digest of another manifest is no name for it", registry.ErrDigest)
	}
	m, ok := r.kept(d.Digest)
	if ok && ref == d.Digest.String() {
		return nil
	}
	if !ok {
		var err error
		if m, err = r.manifestAt(ctx, r.upstream(), d.Digest.String()); err != nil {
			return err
		}
	}
	return r.put(ctx, m, ref)
}

// pushManifest reads a manifest, holds it against its descriptor and puts it.
func (r *Repository) pushManifest(ctx context.Context, d ocispec.Descriptor, from io.Reader) error {
	if d.Size > maxManifest {
		return fmt.Errorf("a manifest of %d bytes: registries take at most %d", d.Size, maxManifest)
	}
	text, err := io.ReadAll(io.LimitReader(from, d.Size+1))
	if err != nil {
		return err
	}
	if int64(len(text)) != d.Size || d.Digest.Algorithm().FromBytes(text) != d.Digest {
		return fmt.Errorf("%w: the manifest to push doesn't have it", registry.ErrDigest)
	}
	m := manifest{Descriptor: d, text: text}
	if err := r.put(ctx, m, d.Digest.String()); err != nil {
		return err
	}
	r.keep(m)
	return nil
}

// put puts the bytes of a manifest under a tag or digest.
func (r *Repository) put(ctx context.Context, m manifest, ref string) error {
	q := r.request(ctx, r.upstream(), http.MethodPut, "manifests/"+ref, nil)
	q.header.Set("Content-Type", m.MediaType)
	q.body, q.size = func() (io.Reader, error) { return bytes.NewReader(m.text), nil }, int64(len(m.text))
	response, err := r.client.ok(ctx, q, http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	defer drain(response)
	if err := checkDigest(response, m.Digest); err != nil {
		return err
	}
	return r.announce(ctx, m, response)
}

// Delete removes a tag; or, by digest, a manifest with all its tags. Many registries refuse the one or the other.
func (r *Repository) Delete(ctx context.Context, ref string) error {
	err := checkRef(ref)
	if err == nil {
		err = r.delete(ctx, ref)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", r.object(ref), err)
	}
	return nil
}

// delete removes a tag or manifest, and a manifest with a subject from what its subject is referred by.
func (r *Repository) delete(ctx context.Context, ref string) error {
	var gone manifest
	if digest.Digest(ref).Validate() == nil {
		var err error
		gone, err = r.manifestAt(ctx, r.upstream(), ref)
		if err != nil && !errors.Is(err, registry.ErrUnsupported) && !errors.Is(err, registry.ErrDigest) { // a broken one may be deleted, too
			return err
		}
	}
	q := r.request(ctx, r.upstream(), http.MethodDelete, "manifests/"+ref, nil)
	response, err := r.client.ok(ctx, q, http.StatusAccepted, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return noDelete(err, ref)
	}
	drain(response)
	r.keep(manifest{})
	return r.withdraw(ctx, gone)
}

// noDelete says of a registry that refused to delete a tag what it may mean: those that delete by digest alone take the tag for
// a digest that is none.
func noDelete(err error, ref string) error {
	var answer *Error
	if errors.As(err, &answer) && digest.Digest(ref).Validate() != nil && (answer.Is(registry.ErrUnsupported) || answer.Status == http.StatusBadRequest) {
		return fmt.Errorf("%w: the registry deletes no tags, only manifests by digest: %w", registry.ErrUnsupported, err)
	}
	return err
}
