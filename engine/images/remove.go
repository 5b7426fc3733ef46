// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"stave/registry"
)

// ErrConflict says that an image can't be removed because of what it is used for, or how it is called.
var ErrConflict = errors.New("conflict")

// Removed is what a removal took away.
type Removed struct {
	// Untagged are names, in full; Deleted are the IDs of images, each with the chain IDs of the layers that went with it.
	Untagged []string
	Deleted  []digest.Digest
	// Bytes are those of the blobs and unpacked layers that went.
	Bytes int64
}

// Remove takes a name away from an image, and with its last name the image. By ID all names go, more than those of one repository only by
// force. An image that a container uses goes by force only, and not at all while one runs: then only the name does.
func (s *Images) Remove(ctx context.Context, word string, force bool) (Removed, error) {
	var r removing
	err := s.underTurn(func() error {
		list, broken := s.all(ctx)
		image, err := find(list, word)
		if err != nil && broken != nil {
			return s.unnameBroken(ctx, word, &r, errors.Join(err, broken))
		}
		if err != nil {
			return err
		}
		names, last, err := s.removal(ctx, image, word, force)
		if err != nil {
			return err
		}
		return s.unname(ctx, image, names, last, &r)
	})
	if err != nil || len(r.images) == 0 && !r.broken {
		return r.Removed, err
	}
	err = s.collect(ctx, &r)
	return r.Removed, err
}

// removing is a removal that goes on.
type removing struct {
	Removed
	images []*Image // those that have gone
	broken bool     // one that can't be read has lost a name
}

// unnameBroken takes a name away from an image that can't be read. Of such an image nobody knows the ID, nor who uses it.
func (s *Images) unnameBroken(ctx context.Context, word string, r *removing, reason error) error {
	for _, name := range meant(word) {
		if _, err := s.layout.Resolve(ctx, name); err != nil {
			continue
		}
		if err := s.layout.Delete(ctx, name); err != nil {
			return err
		}
		r.Untagged, r.broken = append(r.Untagged, name), true
		return nil
	}
	return reason
}

// removal decides which names of an image go, and whether the image goes with them.
func (s *Images) removal(ctx context.Context, image *Image, word string, force bool) (names []string, last bool, err error) {
	all := slices.Concat(image.Names, image.Digests)
	if image.byID(word) {
		if repositories := repositories(all); len(repositories) > 1 && !force {
			return nil, false, fmt.Errorf("%w: the image %s is in several repositories (%s): remove it by its names, or with -f",
				ErrConflict, Short(image.ID), strings.Join(repositories, ", "))
		}
		return all, true, s.unused(ctx, image, force)
	}
	names = named(image, word)
	if len(names) < len(all) {
		return names, false, nil
	}
	err = s.unused(ctx, image, force)
	if err != nil && force {
		return names, false, nil // a running container: the image stays, nameless
	}
	return names, true, err
}

// repositories lists those that names are of.
func repositories(names []string) []string {
	var list []string
	for _, name := range names {
		repository, _, _ := Repository(name)
		list = append(list, repository)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// named lists the names that go with the one that a word means: with the last tag of a repository its digests go, too, since
// nobody gave them.
func named(image *Image, word string) []string {
	name := word
	for _, full := range meant(word) {
		if slices.Contains(image.Names, full) || slices.Contains(image.Digests, full) {
			name = full
			break
		}
	}
	names := []string{name}
	repository, tag, _ := Repository(name)
	of := func(other string) bool { r, _, _ := Repository(other); return r == repository }
	others := slices.ContainsFunc(image.Names, func(other string) bool { return other != name && of(other) })
	if tag == "" || others {
		return names
	}
	for _, other := range image.Digests {
		if of(other) {
			names = append(names, other)
		}
	}
	return names
}

// unused is the error for an image that a container uses.
func (s *Images) unused(ctx context.Context, image *Image, force bool) error {
	if s.o.Users == nil {
		return nil
	}
	users, err := s.o.Users(ctx)
	if err != nil {
		return err
	}
	for _, u := range users {
		short := u.ID[:min(12, len(u.ID))]
		switch {
		case u.Image != image.ID:
		case u.Running:
			return fmt.Errorf("%w: the container %s runs from the image %s: stop and remove it first", ErrConflict, short, Short(image.ID))
		case !force:
			return fmt.Errorf("%w: the container %s was made from the image %s: remove it first, or the image with -f", ErrConflict, short, Short(image.ID))
		}
	}
	return nil
}

// unname takes names away and, if they are the last, the image.
func (s *Images) unname(ctx context.Context, image *Image, names []string, last bool, r *removing) error {
	if !last && len(names) == len(image.Names)+len(image.Digests) {
		view, release, err := s.layout.Lease(ctx) // between its last name and none nothing else keeps it
		if err != nil {
			return err
		}
		defer release()
		if _, err := view.Resolve(ctx, image.Manifest.Digest.String()); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := s.layout.Delete(ctx, name); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return fmt.Errorf("take the name %s away: %w", registry.Familiar(name), err)
		}
		r.Untagged = append(r.Untagged, name)
	}
	if !last {
		return s.layout.Tag(ctx, image.Manifest, image.Manifest.Digest.String())
	}
	for _, id := range image.manifests {
		if err := s.layout.Delete(ctx, id.String()); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return fmt.Errorf("remove the image %s: %w", Short(image.ID), err)
		}
	}
	r.Deleted = append(r.Deleted, image.ID)
	r.images = append(r.images, image)
	return nil
}

// collect removes the layers and blobs that no image has any more. The turn is over: somebody may make one of the images again, whose layers
// are released only when nobody makes any, see forgetLost.
func (s *Images) collect(ctx context.Context, r *removing) error {
	var unpacked []digest.Digest
	for _, image := range r.images {
		for _, id := range image.Chain() {
			if _, err := s.layers.Get(id); err == nil && !slices.Contains(unpacked, id) {
				unpacked = append(unpacked, id)
			}
		}
	}
	if err := s.forgetLost(ctx); err != nil {
		return err
	}
	layers, err := s.layers.Collect(ctx)
	if err != nil {
		return fmt.Errorf("remove layers: %w", err)
	}
	for _, id := range unpacked {
		if _, err := s.layers.Get(id); err != nil {
			r.Deleted = append(r.Deleted, id)
		}
	}
	blobs, err := s.layout.Collect(ctx)
	if err != nil {
		return fmt.Errorf("remove blobs: %w", err)
	}
	r.Bytes += layers.Bytes + blobs.Bytes
	return nil
}
