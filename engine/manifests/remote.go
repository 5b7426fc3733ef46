// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Create makes a list of manifests that registries have; one that is there already grows only with amend.
func (s *Lists) Create(ctx context.Context, named reference.Named, from []reference.Named, amend bool) error {
	var entries []Entry
	for _, one := range from {
		e, err := s.entry(ctx, one)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return s.Change(named, func(l *List) (*List, error) {
		if l != nil && !amend {
			return nil, fmt.Errorf("the list %s is there already: --amend adds to it, stave manifest rm removes it", reference.FamiliarString(named))
		}
		if l == nil {
			l = &List{Name: named.String()}
		}
		for _, e := range entries {
			l.add(e)
		}
		return l, nil
	})
}

// entry asks a registry for a manifest, and its configuration for the platform.
func (s *Lists) entry(ctx context.Context, from reference.Named) (Entry, error) {
	e := Entry{From: from.String()}
	store, d, err := s.resolve(ctx, from)
	if err != nil {
		return e, err
	}
	if !registry.IsManifest(d.MediaType) {
		return e, fmt.Errorf("%s is a list itself (%s): name the manifests in it, by digest", reference.FamiliarString(from), d.MediaType)
	}
	image, err := registry.FetchImage(ctx, store, d)
	if err != nil {
		return e, fmt.Errorf("%s: %w", reference.FamiliarString(from), err)
	}
	p := image.Config.Platform
	e.Descriptor = ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: &p}
	return e, nil
}

// resolve asks a registry what a name stands for.
func (s *Lists) resolve(ctx context.Context, from reference.Named) (registry.Store, ocispec.Descriptor, error) {
	store, err := s.repository(from)
	if err != nil {
		return nil, ocispec.Descriptor{}, err
	}
	d, err := store.Resolve(ctx, registry.TagOrDigest(from))
	if err != nil {
		return nil, d, fmt.Errorf("%s: %w", reference.FamiliarString(from), err)
	}
	return store, d, nil
}

// Fetch returns the document that a registry has under a name, and its descriptor.
func (s *Lists) Fetch(ctx context.Context, from reference.Named) (ocispec.Descriptor, []byte, error) {
	store, d, err := s.resolve(ctx, from)
	if err != nil {
		return d, nil, err
	}
	data, err := registry.FetchAll(ctx, store, d)
	return d, data, err
}

// Push copies the manifests of a list, with all they name, to the repository of its name, and then the list. It returns the list's digest.
func (s *Lists) Push(ctx context.Context, named reference.Named) (digest.Digest, error) {
	l, err := s.Get(named)
	if err != nil {
		return "", err
	}
	target, err := s.repository(named)
	if err != nil {
		return "", err
	}
	for _, e := range l.Entries {
		from, err := reference.ParseNormalizedNamed(e.From)
		if err != nil {
			return "", fmt.Errorf("the list %s: %w", reference.FamiliarString(named), err)
		}
		source, err := s.repository(from)
		if err != nil {
			return "", err
		}
		id := e.Descriptor.Digest.String()
		if _, err := registry.Copy(ctx, target, id, source, id, registry.CopyOptions{}); err != nil {
			return "", fmt.Errorf("push %s to %s: %w", registry.Familiar(e.From), named.Name(), err)
		}
	}
	d, err := registry.PushIndex(ctx, target, l.Index())
	if err == nil {
		err = target.Tag(ctx, d, registry.TagOrDigest(named))
	}
	if err != nil {
		return "", fmt.Errorf("push %s: %w", reference.FamiliarString(named), err)
	}
	return d.Digest, nil
}
