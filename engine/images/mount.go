// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// mounting is a repository that takes blobs over from others of its registry.
type mounting struct {
	registry.Store
	mounter registry.Mounter
	from    []registry.Store
}

// Mount asks for a blob of each of the other repositories. A repository that is gone, or that we may not read any more, is no reason
// to fail: then the bytes are pushed.
func (m mounting) Mount(ctx context.Context, d ocispec.Descriptor, _ registry.Store) (bool, error) {
	for _, other := range m.from {
		if ok, err := m.mounter.Mount(ctx, d, other); err == nil && ok {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}

// mounting returns a target that takes over blobs which the same registry has already: an image with the names a@sha256:… and b:1 of one
// registry was pulled from or pushed to a, so that its layers are there.
func (s *Images) mounting(ctx context.Context, target registry.Store, name reference.Named, d ocispec.Descriptor) registry.Store {
	mounter, ok := target.(registry.Mounter)
	names, err := s.layout.Names(ctx)
	if !ok || err != nil {
		return target
	}
	m := mounting{Store: target, mounter: mounter}
	for _, n := range names {
		other, ok := parse(n.Name).(reference.Canonical)
		if !ok || n.Descriptor.Digest != d.Digest || reference.Domain(other) != reference.Domain(name) || other.Name() == name.Name() {
			continue
		}
		if repository, err := s.repository(other); err == nil {
			m.from = append(m.from, repository)
		}
	}
	return m
}
