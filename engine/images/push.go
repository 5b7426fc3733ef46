// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// PushOptions say how an image is pushed.
type PushOptions struct {
	// Platform chooses one image of an index.
	Platform *ocispec.Platform
	// Progress is told of each layer, by one goroutine at a time.
	Progress func(Progress)
}

// Push copies the image that has a name to the registry of that name. The result describes what the registry then has.
func (s *Images) Push(ctx context.Context, name reference.NamedTagged, o PushOptions) (ocispec.Descriptor, error) {
	d, err := s.layout.Resolve(ctx, name.String())
	if err != nil {
		return d, notFound(reference.FamiliarString(name))
	}
	if d, err = s.ofPlatform(ctx, d, o.Platform); err != nil {
		return d, fmt.Errorf("push %s: %w", reference.FamiliarString(name), err)
	}
	target, err := s.repository(name)
	if err != nil {
		return d, err
	}
	report := &reporter{tell: o.Progress}
	if _, m, err := manifest(ctx, s.layout, d); err == nil {
		report.begin(m.Layers)
	}
	target = s.mounting(ctx, target, name, d)
	if d, err = registry.Copy(ctx, target, name.Tag(), s.layout, d.Digest.String(), registry.CopyOptions{Progress: report.event}); err != nil {
		return d, fmt.Errorf("push %s: %w", reference.FamiliarString(name), err)
	}
	byDigest, err := reference.WithDigest(reference.TrimNamed(name), d.Digest)
	if err != nil {
		return d, err
	}
	return d, s.tag(ctx, d, byDigest.String())
}

// ofPlatform is the manifest for a platform: what an index has for it, or the manifest itself, if it is for that platform.
func (s *Images) ofPlatform(ctx context.Context, d ocispec.Descriptor, platform *ocispec.Platform) (ocispec.Descriptor, error) {
	if platform == nil {
		return d, nil
	}
	if registry.IsIndex(d.MediaType) {
		return registry.ResolvePlatform(ctx, s.layout, d, *platform)
	}
	image, err := s.read(ctx, s.layout, d, nil)
	if err != nil {
		return d, err
	}
	return d, image.For(platform)
}

// For is the error for an image that is not for a platform; nil is any.
func (i *Image) For(platform *ocispec.Platform) error {
	if platform == nil {
		return nil
	}
	own := i.Platform()
	if _, err := registry.ChoosePlatform([]ocispec.Descriptor{{Platform: &own}}, *platform); err != nil {
		return fmt.Errorf("the image %s is for %s, not for %s", Short(i.ID), registry.FormatPlatform(own), registry.FormatPlatform(*platform))
	}
	return nil
}

// Pushable lists the names of a repository's images that are here, for a push of all.
func (s *Images) Pushable(ctx context.Context, repository reference.Named) ([]reference.NamedTagged, error) {
	names, err := s.layout.Names(ctx)
	if err != nil {
		return nil, err
	}
	var list []reference.NamedTagged
	for _, n := range names {
		tagged, ok := parse(n.Name).(reference.NamedTagged)
		if ok && tagged.Name() == repository.Name() {
			list = append(list, tagged)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w of the repository %s; stave images lists those that are here", ErrNotFound, reference.FamiliarName(repository))
	}
	return list, nil
}
