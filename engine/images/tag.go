// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"fmt"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Tag gives an image one more name, which another image loses if it had it.
func (s *Images) Tag(ctx context.Context, image *Image, name reference.NamedTagged) error {
	return s.tag(ctx, image.Manifest, name.String())
}

// tag gives a manifest names. An image that loses its last name to it stays, without one: the store sees to that.
func (s *Images) tag(ctx context.Context, d ocispec.Descriptor, names ...string) error {
	return s.underTurn(func() error {
		for _, name := range names {
			if err := s.layout.Tag(ctx, d, name); err != nil {
				return fmt.Errorf("give %s the name %s: %w", d.Digest, registry.Familiar(name), err)
			}
		}
		return nil
	})
}
