// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/unionfs/layer"
)

// ImportOptions say what image an archive becomes.
type ImportOptions struct {
	// Name is the image's; nil leaves it without one.
	Name reference.NamedTagged
	// Message stands in the image's history; From says there where the archive came from.
	Message, From string
	// Changes are instructions of a Dockerfile (see [Settings.Change]).
	Changes []string
	// Platform is what the files were made for; nil is this machine's.
	Platform *ocispec.Platform
}

// Import makes an image of one layer from a tar archive of a root file system, plain or compressed. It returns the image's ID.
func (s *Images) Import(ctx context.Context, r io.Reader, o ImportOptions) (id digest.Digest, err error) {
	m, err := s.begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	if err := m.config.Config.Change(o.Changes...); err != nil {
		return "", err
	}
	created := now()
	m.config.Created, m.config.Platform = &created, registry.HostPlatform()
	if o.Platform != nil {
		m.config.Platform = *o.Platform
	}
	m.config.History = []ocispec.History{{Created: &created, Comment: comment(o)}}
	err = m.add(ctx, func(w io.Writer) error {
		plain, err := layer.Decompress(r)
		if err != nil {
			return err
		}
		defer plain.Close()
		_, err = io.Copy(w, plain)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("import the archive: %w", err)
	}
	return m.finish(ctx, o.Name)
}

// comment is what the history says of an import.
func comment(o ImportOptions) string {
	if o.Message != "" {
		return o.Message
	}
	return "Imported from " + o.From
}
