// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Changed is what an image is made of: a container.
type Changed struct {
	// Image is the ID of the image that the container was made from.
	Image digest.Digest
	// Config is how the container runs: that of the image with what its command line changed.
	Config ocispec.ImageConfig
	// Command is what ran in it.
	Command []string
	// Changes writes what was written since as an uncompressed layer.
	Changes func(ctx context.Context, w io.Writer) error
}

// CommitOptions say what image a container becomes.
type CommitOptions struct {
	// Name is the image's; nil leaves it without one.
	Name reference.NamedTagged
	// Author and Message stand in the image's configuration and history.
	Author, Message string
	// Changes are instructions of a Dockerfile (see [Settings.Change]).
	Changes []string
}

// Commit makes an image of what a container changed, on top of the image that it was made from. It returns the image's ID.
func (s *Images) Commit(ctx context.Context, c Changed, o CommitOptions) (id digest.Digest, err error) {
	m, err := s.begin(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.release()) }()
	base, err := s.Find(ctx, c.Image.String())
	if err != nil {
		return "", fmt.Errorf("the image that the container was made from: %w", err)
	}
	if _, err := m.store.Resolve(ctx, base.Manifest.Digest.String()); err != nil { // from now on its blobs stay
		return "", fmt.Errorf("the image that the container was made from: %w", err)
	}
	if err := m.on(base, c, o); err != nil {
		return "", err
	}
	if err := m.add(ctx, func(w io.Writer) error { return c.Changes(ctx, w) }); err != nil {
		return "", fmt.Errorf("what the container changed: %w", err)
	}
	return m.finish(ctx, o.Name)
}

// on makes the image one on top of another.
func (m *making) on(base *Image, c Changed, o CommitOptions) error {
	config := *base.Config
	m.config, m.layers = &config, append(m.layers, base.Layers...)
	config.Config.ImageConfig = c.Config
	if err := config.Config.Change(o.Changes...); err != nil {
		return err
	}
	created := now()
	config.Created, config.Author, config.Comment, config.DockerVersion = &created, o.Author, "", ""
	config.RootFS.DiffIDs = append([]digest.Digest(nil), config.RootFS.DiffIDs...)
	config.History = append([]ocispec.History(nil), config.History...)
	for layers(config.History) < len(base.Layers) { // a history that leaves layers out would shift what the new step says
		config.History = append(config.History, ocispec.History{Created: base.Config.Created})
	}
	config.History = append(config.History, ocispec.History{
		Created: &created, Author: o.Author, Comment: o.Message, CreatedBy: strings.Join(c.Command, " "),
	})
	return nil
}

// layers counts the steps of a history that made a layer.
func layers(history []ocispec.History) int {
	n := 0
	for _, h := range history {
		if !h.EmptyLayer {
			n++
		}
	}
	return n
}
