// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"

	"stave/unionfs/layer"
)

// Layers are the unpacked layers of a folder:
//
//	<chain ID>/fs            the files of one layer
//	<chain ID>/layer.json    its digests and size
//	holders/<holder>/…       links to the layers that somebody needs
//	.<chain ID>              one that is being unpacked, or removed, locked (flock(2)) by who does it
//
// Names are the hexadecimal part of chain IDs. Several processes may use a folder at once. A layer appears whole by one rename; what a
// killed process left is removed by the next one that unpacks or collects.
type Layers struct {
	dir     string
	options LayersOptions
	slots   chan struct{} // one for each archive that may be unpacked at a time
	swept   sync.Once
	boot    func() string // of the machine: it is the same as long as the program runs
}

// LayersOptions say how layers are unpacked. The zero value is right for root.
type LayersOptions struct {
	// Layer is for each archive.
	Layer layer.Options
	// Concurrency is how many archives are unpacked at a time; 0 means one for each processor.
	Concurrency int
}

// ErrNoLayer says that a layer is not unpacked. It is a fs.ErrNotExist, too.
var ErrNoLayer = fmt.Errorf("the layer is not unpacked: %w", fs.ErrNotExist)

// OpenLayers returns the layers of a folder, which is made where it is missing. Nobody else can go there: an image may have programs
// that change the user, and the holes of years ago.
func OpenLayers(dir string, o LayersOptions) (*Layers, error) {
	if o.Concurrency == 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	l := &Layers{dir: dir, options: o, slots: make(chan struct{}, o.Concurrency), boot: sync.OnceValue(bootID)}
	if err := os.MkdirAll(filepath.Join(dir, holdersName), 0o700); err != nil {
		return nil, fmt.Errorf("the folder for layers: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it may have been there, with another mode
		return nil, fmt.Errorf("the folder for layers: %w", err)
	}
	return l, nil
}

// Get returns a layer, or an error that is [ErrNoLayer].
func (l *Layers) Get(chain digest.Digest) (Layer, error) {
	dir, err := l.path(chain)
	if err != nil {
		return Layer{}, err
	}
	r, err := readRecord(dir)
	if err == nil && r.ChainID != chain {
		err = fmt.Errorf("%s: it is layer %s", dir, r.ChainID)
	}
	if err == nil {
		err = r.trust(dir, l.boot)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Layer{}, fmt.Errorf("%s: %w", chain, ErrNoLayer)
	case err != nil:
		return Layer{}, fmt.Errorf("%s: %w: %w", chain, ErrNoLayer, err)
	}
	return Layer{ChainID: r.ChainID, DiffID: r.DiffID, Path: filepath.Join(dir, filesName), Size: r.Bytes}, nil
}

// path is the folder of a layer.
func (l *Layers) path(chain digest.Digest) (string, error) {
	if err := chain.Validate(); err != nil {
		return "", fmt.Errorf("chain ID %q: %w", chain, err)
	}
	return filepath.Join(l.dir, chain.Encoded()), nil
}

// hidden is the name of a layer's folder as long as it is not whole.
func hidden(dir string) string { return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)) }
