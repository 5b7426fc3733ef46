// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// all reads every image of the store, the newest first. Entries that can't be read are an error beside the images that can.
func (s *Images) all(ctx context.Context) ([]*Image, error) {
	names, err := s.layout.Names(ctx)
	if err != nil {
		return nil, err
	}
	return s.images(ctx, names)
}

// images reads the images that some names stand for.
func (s *Images) images(ctx context.Context, names []registry.Named) ([]*Image, error) {
	byManifest := map[digest.Digest][]registry.Named{}
	var manifests []ocispec.Descriptor
	for _, n := range names {
		if byManifest[n.Descriptor.Digest] == nil {
			manifests = append(manifests, n.Descriptor)
		}
		byManifest[n.Descriptor.Digest] = append(byManifest[n.Descriptor.Digest], n)
	}
	read, err := s.readAll(ctx, manifests, byManifest)
	byID := map[digest.Digest]*Image{}
	for i, image := range read {
		if image == nil {
			continue
		}
		if same := byID[image.ID]; same == nil {
			byID[image.ID] = image
		} else {
			same.manifests = append(same.manifests, image.manifests...)
			if same.Dangling() {
				same.Manifest, same.Layers = image.Manifest, image.Layers
			}
			image = same
		}
		for _, n := range byManifest[manifests[i].Digest] {
			if n.Name != "" {
				image.addName(n.Name)
			}
		}
	}
	list := make([]*Image, 0, len(byID))
	for _, image := range byID {
		image.sort()
		list = append(list, image)
	}
	slices.SortFunc(list, byAge)
	return list, err
}

// readAll reads images by several goroutines, since most of the time goes into opening small files.
func (s *Images) readAll(ctx context.Context, manifests []ocispec.Descriptor, names map[digest.Digest][]registry.Named) ([]*Image, error) {
	list, errs := make([]*Image, len(manifests)), make([]error, len(manifests))
	sizes := &sizes{layers: s.layers, known: map[digest.Digest]int64{}}
	var group sync.WaitGroup
	workers := 2 * runtime.GOMAXPROCS(0)
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < len(manifests); i += workers {
				if list[i], errs[i] = s.read(ctx, s.layout, manifests[i], sizes); errs[i] != nil {
					errs[i] = fmt.Errorf("the image %s: %w", cmp.Or(registry.Familiar(names[manifests[i].Digest][0].Name), "<none>"), errs[i])
				}
			}
		})
	}
	group.Wait()
	return list, errors.Join(errs...)
}

// read reads one image; of an index, that for this machine. What is no image, such as a signature, gives nil.
func (s *Images) read(ctx context.Context, store registry.Store, d ocispec.Descriptor, sizes *sizes) (*Image, error) {
	chosen, m, err := manifest(ctx, store, d)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if !registry.IsConfig(m.Config.MediaType) {
		return nil, nil
	}
	data, err := registry.FetchAll(ctx, store, m.Config)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	config, err := parseConfig(data, len(m.Layers))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	image := &Image{ID: m.Config.Digest, Manifest: d, Layers: m.Layers, Config: config, manifests: []digest.Digest{d.Digest}}
	if chosen.Digest != d.Digest {
		image.manifests = append(image.manifests, chosen.Digest)
	}
	for i, chain := range image.Chain() {
		image.Size += sizes.of(chain, m.Layers[i].Size)
	}
	return image, nil
}

// manifest reads the manifest that a descriptor names; if that names an index, the one in it for this machine, or else the first that
// the store has.
func manifest(ctx context.Context, store registry.Store, d ocispec.Descriptor) (ocispec.Descriptor, ocispec.Manifest, error) {
	if registry.IsIndex(d.MediaType) {
		var err error
		if d, err = choose(ctx, store, d); err != nil {
			return d, ocispec.Manifest{}, err
		}
	}
	m, err := registry.FetchManifest(ctx, store, d)
	return d, m, err
}

// choose picks a manifest of an index.
func choose(ctx context.Context, store registry.Store, d ocispec.Descriptor) (ocispec.Descriptor, error) {
	if found, err := registry.ResolvePlatform(ctx, store, d, registry.HostPlatform()); err == nil {
		if ok, err := store.Exists(ctx, found); ok || err != nil {
			return found, err
		}
	}
	index, err := registry.FetchIndex(ctx, store, d)
	if err != nil {
		return d, err
	}
	for _, found := range index.Manifests {
		if !registry.IsManifest(found.MediaType) {
			continue
		}
		if ok, err := store.Exists(ctx, found); ok || err != nil {
			return found, err
		}
	}
	return d, fmt.Errorf("none of the %d manifests of the index is here: %w", len(index.Manifests), registry.ErrNotFound)
}

// List returns the images that a filter chooses, the newest first. What can't be read is an error beside them.
func (s *Images) List(ctx context.Context, f Filter) ([]*Image, error) {
	list, broken := s.all(ctx)
	list, err := f.apply(list)
	return list, cmp.Or(err, broken)
}

// Find looks an image up by a name, an ID, or the beginning of an ID. The error is [ErrNotFound] or [ErrAmbiguous].
func (s *Images) Find(ctx context.Context, word string) (*Image, error) {
	names, err := s.layout.Names(ctx)
	if err != nil {
		return nil, err
	}
	for _, want := range meant(word) { // the names tell without a look into images
		if i := slices.IndexFunc(names, func(n registry.Named) bool { return n.Name == want }); i >= 0 && !wholeID(word) {
			return s.whole(ctx, names, names[i])
		}
	}
	list, broken := s.images(ctx, names)
	image, err := find(list, word)
	if err != nil && broken != nil {
		return nil, errors.Join(err, broken)
	}
	return image, err
}

// whole reads one image with all its names.
func (s *Images) whole(ctx context.Context, names []registry.Named, want registry.Named) (*Image, error) {
	same := slices.DeleteFunc(slices.Clone(names), func(n registry.Named) bool { return n.Descriptor.Digest != want.Descriptor.Digest })
	list, err := s.images(ctx, same)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s (%s) is not an image: its configuration is of another kind", want.Name, want.Descriptor.Digest)
	}
	return list[0], nil
}
