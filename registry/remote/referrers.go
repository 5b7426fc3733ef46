// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// maxReferrers is how many manifests may refer to another.
const maxReferrers = 100_000

// Referrers lists the manifests that refer to another as their subject. A registry without the request for it may have them
// in an index under a tag (distribution-spec, "Referrers Tag Schema").
func (r *Repository) Referrers(ctx context.Context, d ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return nil, err
	}
	found, known, err := r.askReferrers(ctx, d.Digest, artifactType)
	if err == nil && !known {
		var index ocispec.Index
		index, err = r.tagged(ctx, fallbackTag(d.Digest))
		found = index.Manifests
	}
	if err != nil {
		return nil, fmt.Errorf("list what refers to %s: %w", r.object(d.Digest.String()), err)
	}
	if artifactType == "" {
		return found, nil
	}
	return slices.DeleteFunc(found, func(d ocispec.Descriptor) bool { return d.ArtifactType != artifactType }), nil
}

// askReferrers asks the registry; known is false if it doesn't know the request. That it may have filtered the answer
// (OCI-Filters-Applied) makes no difference: the caller does so anyway.
func (r *Repository) askReferrers(ctx context.Context, subject digest.Digest, artifactType string) (found []ocispec.Descriptor, known bool, err error) {
	query := url.Values{}
	if artifactType != "" {
		query.Set("artifactType", artifactType)
	}
	q := r.request(ctx, r.upstream(), http.MethodGet, "referrers/"+subject.String(), query)
	q.header.Set("Accept", ocispec.MediaTypeImageIndex)
	known = true
	err = r.client.pages(ctx, q, func(response *http.Response, text []byte) error {
		if mediaType(response) != ocispec.MediaTypeImageIndex {
			known = false // such as the web page of a registry that answers everything
			return nil
		}
		var index ocispec.Index
		if err := decodeIndex(text, &index); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if found = append(found, index.Manifests...); len(found) > maxReferrers {
			return fmt.Errorf("%w: a list of more than %d manifests", errRefused, maxReferrers)
		}
		return nil
	})
	var answer *Error
	if errors.As(err, &answer) && (answer.Is(registry.ErrNotFound) || answer.Is(registry.ErrUnsupported) || answer.Status == http.StatusBadRequest && !answer.token) {
		return nil, false, nil
	}
	return found, known, err
}

// fallbackTag is the tag under which there is an index of what refers to a manifest.
func fallbackTag(d digest.Digest) string {
	algorithm, hex := string(d.Algorithm()), d.Encoded()
	return algorithm[:min(len(algorithm), 32)] + "-" + hex[:min(len(hex), 64)]
}

// tagged reads the index of a fallback tag; where there is none, it is empty.
func (r *Repository) tagged(ctx context.Context, tag string) (ocispec.Index, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	m, err := r.manifestAt(ctx, r.upstream(), tag)
	if errors.Is(err, registry.ErrNotFound) {
		return index, nil
	}
	if err != nil {
		return index, err
	}
	if m.MediaType != ocispec.MediaTypeImageIndex {
		return index, fmt.Errorf("the tag %s is no index of referrers but %s", tag, m.MediaType)
	}
	err = decodeIndex(m.text, &index)
	return index, err
}

// decodeIndex reads a list of referrers.
func decodeIndex(text []byte, index *ocispec.Index) error {
	if err := registry.CheckJSON(text); err != nil {
		return err
	}
	return json.Unmarshal(text, index)
}

// referrer is what a manifest says for the list of its subject.
type referrer struct {
	MediaType    string              `json:"mediaType"`
	ArtifactType string              `json:"artifactType"`
	Subject      *ocispec.Descriptor `json:"subject"`
	Annotations  map[string]string   `json:"annotations"`
	Config       struct {
		MediaType string `json:"mediaType"`
	} `json:"config"`
}

// parseReferrer reads the subject of a manifest, and how the manifest is listed there. It is not ok without a subject.
func parseReferrer(m manifest) (subject digest.Digest, listed ocispec.Descriptor, ok bool) {
	var body referrer
	if json.Unmarshal(m.text, &body) != nil || body.Subject == nil || body.Subject.Digest.Validate() != nil {
		return "", ocispec.Descriptor{}, false
	}
	listed = ocispec.Descriptor{
		MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.text)), Annotations: body.Annotations,
		ArtifactType: orElse(body.ArtifactType, body.Config.MediaType),
	}
	return body.Subject.Digest, listed, true
}

// announce adds a manifest that was put to the list of its subject, where the registry doesn't do so.
func (r *Repository) announce(ctx context.Context, m manifest, response *http.Response) error {
	if response.Header.Get("OCI-Subject") != "" {
		return nil
	}
	subject, listed, ok := parseReferrer(m)
	if !ok {
		return nil
	}
	err := r.relist(ctx, subject, func(list []ocispec.Descriptor) []ocispec.Descriptor {
		if slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == m.Digest }) {
			return list
		}
		return append(list, listed)
	})
	if err != nil {
		return fmt.Errorf("list it as referring to %s: %w", subject, err)
	}
	return nil
}

// withdraw removes a manifest that was deleted from the list of its subject, where the registry doesn't do so.
func (r *Repository) withdraw(ctx context.Context, m manifest) error {
	subject, _, ok := parseReferrer(m)
	if !ok {
		return nil
	}
	if _, known, err := r.askReferrers(ctx, subject, ""); known || err != nil {
		return err
	}
	err := r.relist(ctx, subject, func(list []ocispec.Descriptor) []ocispec.Descriptor {
		return slices.DeleteFunc(slices.Clone(list), func(d ocispec.Descriptor) bool { return d.Digest == m.Digest })
	})
	if err != nil {
		return fmt.Errorf("remove it from the list of what refers to %s: %w", subject, err)
	}
	return nil
}

// relist changes the index under the fallback tag of a subject. The protocol has no way to do so safely beside other
// clients; beside other goroutines of this one it is.
func (r *Repository) relist(ctx context.Context, subject digest.Digest, change func([]ocispec.Descriptor) []ocispec.Descriptor) error {
	tag := fallbackTag(subject)
	r.client.mutex.Lock()
	turn := remember(&r.client.subjects, strings.Join([]string{r.Name(), tag}, ":"), func() *sync.Mutex { return &sync.Mutex{} })
	r.client.mutex.Unlock()
	turn.Lock()
	defer turn.Unlock()
	index, err := r.tagged(ctx, tag)
	if err != nil {
		return err
	}
	changed := change(index.Manifests)
	if len(changed) == len(index.Manifests) {
		return nil
	}
	index.Manifests = changed
	if index.Manifests == nil {
		index.Manifests = []ocispec.Descriptor{}
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if len(text) > maxManifest {
		return fmt.Errorf("the list would have %d bytes, more than %d", len(text), maxManifest)
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(text), Size: int64(len(text))}
	return r.put(ctx, manifest{Descriptor: d, text: text}, tag)
}
