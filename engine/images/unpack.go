// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
	"stave/unionfs"
)

// arrival is the store as a copy to it sees it. It unpacks the layers of one image while others still arrive; the copy does not wait for
// that before the end.
type arrival struct {
	registry.Store // a lease: nothing of it is collected before the image has a name
	images         *Images
	report         *reporter
	packed         bool
	names          func(ocispec.Descriptor) []string

	// The configuration, which comes before all layers, sets these.
	image  digest.Digest
	config *Config
	chain  []digest.Digest

	group  sync.WaitGroup
	failed context.CancelCauseFunc // ends the copy
	fresh  atomic.Bool
}

// copy copies one image to the store and unpacks it.
func (a *arrival) copy(ctx context.Context, source registry.Store, ref string, platform *ocispec.Platform) error {
	ctx, a.failed = context.WithCancelCause(ctx)
	defer a.failed(nil)
	copied := func(_ context.Context, m ocispec.Manifest, d ocispec.Descriptor) error {
		return a.copied(ctx, m, d) // what it starts goes on when the layers have been copied, and that context has ended
	}
	_, err := registry.Copy(ctx, a, "", source, ref, registry.CopyOptions{Platform: platform, Progress: a.report.event, Copied: copied})
	if err != nil {
		a.failed(err)
	}
	a.group.Wait()
	return cmp.Or(context.Cause(ctx), err)
}

// Tag is the last step of the copy. The image gets its names when all of it is unpacked.
func (a *arrival) Tag(ctx context.Context, d ocispec.Descriptor, _ string) error {
	a.group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return a.images.tag(ctx, d, a.names(d)...)
}

// copied is told of each blob of the image that is in the store now: of the configuration first, of layers several at once.
func (a *arrival) copied(ctx context.Context, m ocispec.Manifest, d ocispec.Descriptor) error {
	if d.Digest == m.Config.Digest {
		return a.begin(ctx, m)
	}
	if a.report.was(d.Digest) != Exists {
		a.fresh.Store(true)
	}
	if a.packed {
		return nil
	}
	for i, layer := range m.Layers {
		if layer.Digest == d.Digest {
			a.group.Go(func() { a.unpack(ctx, layer, i) })
		}
	}
	return nil
}

// unpack unpacks one layer.
func (a *arrival) unpack(ctx context.Context, layer ocispec.Descriptor, i int) {
	unpacked, err := a.images.unpack(ctx, a.Store, layer, a.chain[:i+1], a.config.RootFS.DiffIDs[i])
	switch {
	case err != nil:
		a.failed(err)
	case unpacked, a.report.was(layer.Digest) != Exists:
		a.fresh.Store(true)
		a.report.state(layer.Digest, Complete)
	}
}

// begin reads the configuration and keeps the layers that it names from being collected, those too that are still to come.
func (a *arrival) begin(ctx context.Context, m ocispec.Manifest) error {
	if !registry.IsConfig(m.Config.MediaType) {
		return fmt.Errorf("it is not an image: its configuration is %q", m.Config.MediaType)
	}
	data, err := registry.FetchAll(ctx, a.Store, m.Config)
	if err != nil {
		return err
	}
	// A layer of that digest would be taken for the configuration, by several goroutines.
	if slices.ContainsFunc(m.Layers, func(layer ocispec.Descriptor) bool { return layer.Digest == m.Config.Digest }) {
		return fmt.Errorf("the image's manifest names its configuration %s as a layer, too", m.Config.Digest)
	}
	if a.config, err = parseConfig(data, len(m.Layers)); err != nil {
		return err
	}
	a.image, a.chain = m.Config.Digest, unionfs.ChainIDs(a.config.RootFS.DiffIDs)
	a.report.begin(m.Layers)
	return a.images.hold(a.image, a.chain)
}

// holderPrefix begins the names of images among the holders of layers.
const holderPrefix = "image-"

// holder is who keeps the layers of an image.
func holder(image digest.Digest) string { return holderPrefix + image.Encoded() }

// hold keeps the layers of an image from being collected.
func (s *Images) hold(image digest.Digest, chain []digest.Digest) error {
	for _, id := range chain {
		if err := s.layers.Refer(id, holder(image)); err != nil {
			return err
		}
	}
	return nil
}

// unpack unpacks one layer, the last of a chain, unless it is; the result says whether it had to.
func (s *Images) unpack(ctx context.Context, store registry.Store, layer ocispec.Descriptor, chain []digest.Digest, diffID digest.Digest) (bool, error) {
	if _, err := s.layers.Get(chain[len(chain)-1]); err == nil {
		return false, nil
	}
	_, err := s.layers.Unpack(ctx, chain, diffID, func() (io.ReadCloser, error) { return store.Fetch(ctx, layer) })
	if err != nil {
		return false, fmt.Errorf("unpack layer %s: %w", layer.Digest, err)
	}
	return true, nil
}

// Unpack unpacks those layers of an image that are not, and returns all, the lowest first. They stay as long as the image does.
func (s *Images) Unpack(ctx context.Context, image *Image) ([]unionfs.Layer, error) {
	layers, release, err := s.Keep(ctx, image)
	if err != nil {
		return nil, err
	}
	release()
	return layers, nil
}

// Keep unpacks like [Images.Unpack], and keeps the layers until release, also if the image is removed. Who needs them longer refers to them
// before.
func (s *Images) Keep(ctx context.Context, image *Image) (layers []unionfs.Layer, release func(), err error) {
	lock, err := s.lock("images.busy", unix.LOCK_SH)
	if err != nil {
		return nil, nil, err
	}
	if layers, err = s.keep(ctx, image); err != nil {
		lock.Close()
		return nil, nil, err
	}
	return layers, func() { lock.Close() }, nil
}

// keep holds and unpacks the layers of an image.
func (s *Images) keep(ctx context.Context, image *Image) ([]unionfs.Layer, error) {
	chain := image.Chain()
	if err := s.hold(image.ID, chain); err != nil {
		return nil, err
	}
	if err := s.unpackAll(ctx, s.layout, image.Layers, image.Config.RootFS.DiffIDs); err != nil {
		return nil, fmt.Errorf("the image %s: %w", Short(image.ID), err)
	}
	layers := make([]unionfs.Layer, len(chain))
	for i, id := range chain {
		var err error
		if layers[i], err = s.layers.Get(id); err != nil {
			return nil, err
		}
	}
	return layers, nil
}

// unpackAll unpacks the layers that are not unpacked, side by side.
func (s *Images) unpackAll(ctx context.Context, store registry.Store, packed []ocispec.Descriptor, diffIDs []digest.Digest) error {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	chain := unionfs.ChainIDs(diffIDs)
	var group sync.WaitGroup
	for i, layer := range packed {
		group.Go(func() {
			if _, err := s.unpack(ctx, store, layer, chain[:i+1], diffIDs[i]); err != nil {
				failed(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
