// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"stave/unionfs/layer"
)

// Unpack unpacks the archive that open opens, compressed or not, unless the layer is there already. The layer is the last of chains; the
// ones before are the chain IDs of the layers below it, the lowest first (see [ChainIDs]).
//
// Layers of one image may be unpacked at the same time. Where an archive has no entry of its own for a folder, the layers below say what
// that folder is like, so that Unpack waits for them at its end: start the lowest first. Nothing is left of an archive that can't be
// unpacked or has another digest than diffID.
//
// Call [Layers.Refer] before Unpack: a layer without a holder may be collected as soon as it is there.
func (l *Layers) Unpack(ctx context.Context, chains []digest.Digest, diffID digest.Digest, open func() (io.ReadCloser, error)) (Layer, error) {
	chain, err := ownChain(chains, diffID)
	if err != nil {
		return Layer{}, err
	}
	if found, err := l.Get(chain); err == nil {
		return found, nil
	}
	l.swept.Do(func() { _ = l.sweep() }) // what can't be removed now is tried again by Collect, which says why
	dir, err := l.path(chain)
	if err != nil {
		return Layer{}, err
	}
	lock, err := claim(ctx, hidden(dir))
	if err != nil {
		return Layer{}, fmt.Errorf("unpack layer %s: %w", diffID, err)
	}
	defer lock.Close()
	if found, err := l.Get(chain); err == nil { // by another process, while this one waited
		return found, removeAll(hidden(dir))
	}
	if err := l.make(ctx, chains, diffID, open); err != nil {
		return Layer{}, errors.Join(fmt.Errorf("unpack layer %s: %w", diffID, err), removeAll(hidden(dir)))
	}
	return l.Get(chain)
}

// ownChain checks that the last chain ID is that of the layer on top of the others, and returns it: a wrong one would give another image
// the files of this one.
func ownChain(chains []digest.Digest, diffID digest.Digest) (digest.Digest, error) {
	if err := diffID.Validate(); err != nil {
		return "", fmt.Errorf("diff ID %q: %w", diffID, err)
	}
	if len(chains) == 0 {
		return "", fmt.Errorf("layer %s: its chain ID is missing", diffID)
	}
	own := chains[len(chains)-1]
	want := diffID
	if len(chains) > 1 {
		want = above(chains[len(chains)-2], diffID)
	}
	if own != want {
		return "", fmt.Errorf("layer %s: its chain ID is %s, not %s", diffID, want, own)
	}
	return own, nil
}

// make fills the hidden folder and lets the layer appear.
func (l *Layers) make(ctx context.Context, chains []digest.Digest, diffID digest.Digest, open func() (io.ReadCloser, error)) error {
	below, chain := chains[:len(chains)-1], chains[len(chains)-1]
	dir := filepath.Join(l.dir, chain.Encoded())
	temp := hidden(dir)
	files := filepath.Join(temp, filesName)
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	there := l.there(below)
	result, err := l.fill(ctx, files, diffID, open)
	if err != nil {
		return err
	}
	r := record{ChainID: chain, DiffID: diffID, Boot: cmp.Or(bootID(), "unknown")}
	if r.tally, err = l.settle(ctx, files, below, there, result.Implicit); err != nil {
		return err
	}
	if err := r.write(temp); err != nil {
		return err
	}
	damaged, err := l.discard(ctx, dir) // Get would have found a good one
	if err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil || damaged == "" {
		return err
	}
	return sweepOne(damaged)
}

// fill unpacks the archive when there is a slot for it, and checks its digest.
func (l *Layers) fill(ctx context.Context, files string, diffID digest.Digest, open func() (io.ReadCloser, error)) (layer.Result, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return layer.Result{}, context.Cause(ctx)
	}
	archive, err := open()
	if err != nil {
		return layer.Result{}, err
	}
	defer archive.Close()
	plain, err := layer.Decompress(archive)
	if err != nil {
		return layer.Result{}, err
	}
	defer plain.Close()
	result, err := layer.Unpack(ctx, files, plain, l.options.Layer)
	if err != nil {
		return layer.Result{}, err
	}
	if result.DiffID != diffID {
		return layer.Result{}, fmt.Errorf("the archive has the digest %s: it is damaged, or the image's configuration is", result.DiffID)
	}
	return result, nil
}
