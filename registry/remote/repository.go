// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Repository is one repository of a registry.
type Repository struct {
	client    *Client
	name      reference.Named // docker.io/library/busybox
	path      string          // library/busybox
	endpoints []endpoint      // to read from; the last is the registry itself

	mutex sync.Mutex
	last  manifest // that was pushed or fetched last: a tag is put right after
}

var (
	_ registry.Store    = (*Repository)(nil)
	_ registry.Lister   = (*Repository)(nil)
	_ registry.Mounter  = (*Repository)(nil)
	_ registry.Referrer = (*Repository)(nil)
)

// Repository returns the repository of a name, of which a tag or digest doesn't matter. No request is sent for it.
func (c *Client) Repository(name reference.Named) (*Repository, error) {
	domain := reference.Domain(name)
	if domain == "" {
		return nil, fmt.Errorf("%s: names no registry", name)
	}
	endpoints, err := c.endpoints(domain)
	if err != nil {
		return nil, err
	}
	return &Repository{client: c, name: reference.TrimNamed(name), path: reference.Path(name), endpoints: endpoints}, nil
}

// Name is the name of the repository, with its registry.
func (r *Repository) Name() string { return r.name.Name() }

// upstream is the registry itself.
func (r *Repository) upstream() endpoint { return r.endpoints[len(r.endpoints)-1] }

// object is how errors name a tag or digest of the repository.
func (r *Repository) object(ref string) string {
	if _, err := digest.Parse(ref); err == nil {
		return r.Name() + "@" + ref
	}
	return r.Name() + ":" + ref
}

// request makes a request for something below the repository.
func (r *Repository) request(ctx context.Context, e endpoint, method, path string, query url.Values) *request {
	actions := "pull"
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		actions = "pull,push"
	case http.MethodDelete:
		actions = "delete,pull"
	}
	q := &request{
		method: method, url: r.client.url(ctx, e, r.path+"/"+path, query), where: e, header: http.Header{},
		scope: "repository:" + r.at(e) + ":" + actions, tries: r.client.retries(),
	}
	if e.mirror {
		q.tries = 0 // there is another place to ask
	}
	return q
}

// at is the path of the repository at an endpoint.
func (r *Repository) at(e endpoint) string {
	if e.prefix == "" {
		return r.path
	}
	return e.prefix + "/" + r.path
}

// read does something at one place after the other, until one can.
func (r *Repository) read(ctx context.Context, do func(endpoint) error) error {
	for _, e := range r.endpoints {
		err := do(e)
		if err == nil || !e.mirror || ctx.Err() != nil {
			return err
		}
		if !errors.Is(err, registry.ErrNotFound) {
			r.client.notice(fmt.Sprintf("mirror %s: %v; trying the next place", e.host, err))
		}
	}
	return nil // not reached: the last endpoint is no mirror
}

// failed makes an error of an answer, and closes it.
func failed(q *request, response *http.Response) error {
	defer drain(response)
	e := newError(response)
	e.login = q.where.registry
	return e
}

// ok sends a request and wants one of some statuses; other answers become errors.
func (c *Client) ok(ctx context.Context, q *request, statuses ...int) (*http.Response, error) {
	response, err := c.do(ctx, q)
	if err != nil {
		return nil, err
	}
	if slices.Contains(statuses, response.StatusCode) {
		return response, nil
	}
	return nil, failed(q, response)
}

// checkDigest holds the digest that an answer names against the one that is wanted. A digest of another algorithm says
// nothing.
func checkDigest(response *http.Response, want digest.Digest) error {
	got, err := digest.Parse(response.Header.Get("Docker-Content-Digest"))
	if err != nil || got.Algorithm() != want.Algorithm() || got == want {
		return nil
	}
	return fmt.Errorf("%w: %s has %s in place of %s", registry.ErrDigest, response.Request.URL.Host, got, want)
}

// kind is the folder of the protocol in which something is.
func kind(d ocispec.Descriptor) string {
	if isManifest(d.MediaType) {
		return "manifests"
	}
	return "blobs"
}

// Exists tells whether the registry itself, not a mirror, has a blob or manifest.
func (r *Repository) Exists(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return false, err
	}
	response, err := r.look(ctx, r.upstream(), kind(d)+"/"+d.Digest.String(), accept(d))
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", r.object(d.Digest.String()), err)
	}
	response.Body.Close()
	if n := response.ContentLength; n >= 0 && n != d.Size {
		return false, fmt.Errorf("look for %s: %w: %s has %d bytes of it in place of %d", r.object(d.Digest.String()), registry.ErrDigest, r.upstream().host, n, d.Size)
	}
	return true, checkDigest(response, d.Digest)
}

// look sends HEAD and, where that gives anything else than an answer or that there is nothing, GET: not every registry has
// the one, not every storage behind it allows it, and only the other has a body that says what is wrong.
func (r *Repository) look(ctx context.Context, e endpoint, path string, header http.Header) (*http.Response, error) {
	q := r.request(ctx, e, http.MethodHead, path, nil)
	q.header = header
	response, err := r.client.ok(ctx, q, http.StatusOK)
	if err == nil || errors.Is(err, registry.ErrNotFound) || errors.Is(err, ErrTooManyRequests) {
		return response, err
	}
	var answer *Error
	if !errors.As(err, &answer) {
		return nil, err
	}
	q = r.request(ctx, e, http.MethodGet, path, nil)
	q.header = header
	return r.client.ok(ctx, q, http.StatusOK)
}

// accept is the header of a request for a blob or manifest.
func accept(d ocispec.Descriptor) http.Header {
	if isManifest(d.MediaType) {
		return http.Header{"Accept": {d.MediaType}}
	}
	return http.Header{}
}
