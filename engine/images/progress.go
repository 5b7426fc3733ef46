// SPDX-License-Identifier: Apache-2.0

package images

import (
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// State is where a layer is on its way.
type State int

// The states of a layer. A pull has all that is unpacked go from Waiting to Complete, or straight to Exists; a push ends with Complete,
// Exists or Mounted.
const (
	Waiting  State = iota + 1
	Exists         // it is there already
	Mounted        // the registry took it over from another of its repositories
	Moving         // some of its bytes have been moved
	Moved          // all have
	Complete       // it has been unpacked
)

// Progress tells of one layer.
type Progress struct {
	Layer ocispec.Descriptor
	State State
	// Offset is how many of its bytes have been moved.
	Offset int64
}

// reporter tells of the layers of one image; a reporter without a function tells nobody.
type reporter struct {
	tell func(Progress)

	mutex  sync.Mutex
	layers map[digest.Digest]ocispec.Descriptor
	last   map[digest.Digest]State
}

// begin announces the layers of a manifest.
func (r *reporter) begin(layers []ocispec.Descriptor) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.layers == nil {
		r.layers, r.last = map[digest.Digest]ocispec.Descriptor{}, map[digest.Digest]State{}
	}
	for _, d := range layers {
		if _, known := r.layers[d.Digest]; !known {
			r.layers[d.Digest] = d
			r.send(Progress{Layer: d, State: Waiting})
		}
	}
}

// send tells, unless the layer is where it was or further.
func (r *reporter) send(p Progress) {
	last := r.last[p.Layer.Digest]
	if p.State < last || p.State == last && p.State != Moving {
		return
	}
	r.last[p.Layer.Digest] = p.State
	if r.tell != nil {
		r.tell(p)
	}
}

// state tells that a layer has come to a state.
func (r *reporter) state(layer digest.Digest, state State) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if d, ok := r.layers[layer]; ok {
		r.send(Progress{Layer: d, State: state, Offset: d.Size})
	}
}

// was is the state that a layer has come to.
func (r *reporter) was(layer digest.Digest) State {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.last[layer]
}

// event translates what a copy tells; of blobs that are no layers it says nothing.
func (r *reporter) event(e registry.Event) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	d, ok := r.layers[e.Descriptor.Digest]
	if !ok {
		return
	}
	p := Progress{Layer: d, Offset: e.Offset}
	switch e.Stage {
	case registry.Started, registry.Progressed:
		p.State = Moving
	case registry.Done:
		p.State, p.Offset = Moved, d.Size
	case registry.Existed:
		p.State, p.Offset = Exists, d.Size
	case registry.Mounted:
		p.State, p.Offset = Mounted, d.Size
	}
	r.send(p)
}
