// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/archive"
	"stave/unionfs/layer"
)

// SaveOptions say how an archive is written.
type SaveOptions struct {
	// OCI leaves manifests and layers as they are; otherwise the archive is one that all versions of Docker load, with layers that are not
	// compressed.
	OCI bool
	// Platform chooses of images for several; nil is this machine's.
	Platform *ocispec.Platform
}

// Save writes images to an archive, each with the name that it is asked by; one that is asked by its ID has none, and a name without tag
// or digest stands for all tags of the repository.
func (s *Images) Save(ctx context.Context, w io.Writer, words []string, o SaveOptions) error {
	view, release, err := s.layout.Lease(ctx)
	if err != nil {
		return err
	}
	defer release()
	list, broken := s.all(ctx)
	var chosen []registry.Named
	for _, word := range words {
		found, err := saved(list, word, o.Platform)
		if err != nil {
			return errors.Join(err, broken)
		}
		chosen = append(chosen, found...)
	}
	for _, n := range chosen { // from now on none of them can be collected
		if _, err := view.Resolve(ctx, n.Descriptor.Digest.String()); err != nil {
			return err
		}
	}
	form := archive.Docker
	if o.OCI {
		form = archive.OCI
	}
	return archive.Write(ctx, w, view, chosen, archive.WriteOptions{Form: form, Platform: o.Platform})
}

// saved lists what a word stands for in an archive.
func saved(list []*Image, word string, platform *ocispec.Platform) ([]registry.Named, error) {
	var all []registry.Named
	if written, err := reference.ParseNormalizedNamed(word); err == nil && reference.IsNameOnly(written) {
		for _, image := range list {
			for _, name := range image.Names {
				named := parse(name)
				if named != nil && named.Name() == written.Name() && image.For(platform) == nil {
					all = append(all, registry.Named{Name: name, Descriptor: image.Manifest})
				}
			}
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	image, err := find(list, word)
	if err == nil {
		err = image.For(platform)
	}
	if err != nil {
		return nil, err
	}
	n := registry.Named{Descriptor: image.Manifest}
	for _, name := range meant(word) {
		if slices.Contains(image.Names, name) {
			n.Name = name
		}
	}
	return []registry.Named{n}, nil
}

// Loaded is an image of an archive that is in the store now.
type Loaded struct {
	// Name is the image's in full, or "" if it has none.
	Name string
	ID   digest.Digest
}

// Load reads images from an archive, compressed or not, of docker save, podman save, skopeo and others, and unpacks them. loaded is told of
// each.
func (s *Images) Load(ctx context.Context, r io.Reader, o PullOptions, loaded func(Loaded)) (err error) {
	a, err := archive.Open(ctx, r, archive.OpenOptions{TempDir: s.dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	names := a.Names()
	if len(names) == 0 {
		return errors.New("the archive has no images")
	}
	for _, n := range names {
		name := fullName(n.Name)
		got, err := s.receive(ctx, a, n.Descriptor.Digest.String(), o, func(d ocispec.Descriptor) []string {
			return []string{cmp.Or(name, d.Digest.String())}
		})
		if err != nil {
			return fmt.Errorf("load %s: %w", n.Descriptor.Digest, err)
		}
		loaded(Loaded{Name: name, ID: got.image})
	}
	return nil
}

// fullName is a name of an archive in full. What is no name of an image, such as a tag alone, that stands in layouts which others made, is
// none.
func fullName(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || reference.IsNameOnly(named) {
		return ""
	}
	return named.String()
}

// Export writes the files of a folder as a tar archive.
func Export(ctx context.Context, w io.Writer, dir string) error {
	return layer.Pack(ctx, w, dir, layer.Options{})
}
