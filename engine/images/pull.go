// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// PullOptions say how an image is pulled.
type PullOptions struct {
	// Platform is the one to choose where there are several; nil is this machine's.
	Platform *ocispec.Platform
	// Packed leaves the layers packed; they are unpacked when they are first needed.
	Packed bool
	// Progress is told of each layer, by one goroutine at a time.
	Progress func(Progress)
}

// Pulled is what a pull found.
type Pulled struct {
	// Name is the image's in full.
	Name string
	// Digest is what the registry has under that name: that of the index, where there are several platforms, or of the manifest.
	Digest digest.Digest
	// ID is the image's, Fresh one that had to be fetched.
	ID    digest.Digest
	Fresh bool
}

// Pull fetches an image from a registry and unpacks it. Layers are unpacked as they arrive, beside each other.
func (s *Images) Pull(ctx context.Context, named reference.Named, o PullOptions) (Pulled, error) {
	p := Pulled{Name: named.String()}
	source, err := s.repository(named)
	if err != nil {
		return p, err
	}
	got, err := s.receive(ctx, source, registry.TagOrDigest(named), o, func(d ocispec.Descriptor) []string {
		p.Digest = d.Digest
		if index := digest.Digest(d.Annotations[registry.AnnotationIndex]); index != "" {
			p.Digest = index
		}
		names := []string{named.String()}
		if byDigest, err := reference.WithDigest(reference.TrimNamed(named), p.Digest); err == nil && byDigest.String() != names[0] {
			names = append(names, byDigest.String())
		}
		return names
	})
	if err != nil {
		return p, fmt.Errorf("pull %s: %w", reference.FamiliarString(named), err)
	}
	p.ID, p.Fresh = got.image, got.fresh.Load()
	return p, nil
}

// Tags lists the tags of a repository of a registry.
func (s *Images) Tags(ctx context.Context, named reference.Named) ([]reference.NamedTagged, error) {
	source, err := s.repository(named)
	if err != nil {
		return nil, err
	}
	lister, ok := source.(registry.Lister)
	if !ok {
		return nil, fmt.Errorf("%s: its tags can't be listed: %w", reference.FamiliarName(named), registry.ErrUnsupported)
	}
	var tags []reference.NamedTagged
	for tag, err := range lister.Tags(ctx) {
		if err != nil {
			return nil, err
		}
		tagged, err := reference.WithTag(reference.TrimNamed(named), tag)
		if err != nil {
			return nil, fmt.Errorf("%s has the tag %q: %w", reference.FamiliarName(named), tag, err)
		}
		tags = append(tags, tagged)
	}
	return tags, nil
}

// repository opens the repository of a name.
func (s *Images) repository(named reference.Named) (registry.Store, error) {
	if s.o.Repository == nil {
		return nil, fmt.Errorf("%s: no registry can be reached from here: %w", named, registry.ErrUnsupported)
	}
	return s.o.Repository(named)
}

// receive copies one image of another store here and unpacks it. Only then it gets its names, which are those that names returns.
func (s *Images) receive(ctx context.Context, source registry.Store, ref string, o PullOptions, names func(ocispec.Descriptor) []string) (*arrival, error) {
	view, release, err := s.lease(ctx)
	if err != nil {
		return nil, err
	}
	platform := o.Platform
	if platform == nil {
		platform = new(registry.HostPlatform())
	}
	a := &arrival{Store: view, images: s, report: &reporter{tell: o.Progress}, packed: o.Packed, names: names}
	return a, errors.Join(a.copy(ctx, source, ref, platform), release())
}
