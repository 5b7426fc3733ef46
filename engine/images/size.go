// SPDX-License-Identifier: Apache-2.0

package images

import (
	"sync"

	"github.com/opencontainers/go-digest"

	"stave/unionfs"
)

// sizes knows how large unpacked layers are. It asks for each once, however many images share it.
type sizes struct {
	layers *unionfs.Layers
	mutex  sync.Mutex
	known  map[digest.Digest]int64
}

// of is the size of a layer; one that is not unpacked is as large as its packed bytes, and so are all where nobody asks.
func (s *sizes) of(chain digest.Digest, packed int64) int64 {
	if s == nil {
		return packed
	}
	s.mutex.Lock()
	size, ok := s.known[chain]
	s.mutex.Unlock()
	if ok {
		return size
	}
	size = packed
	if layer, err := s.layers.Get(chain); err == nil { // not under the lock: others read other layers meanwhile
		size = layer.Size
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.known[chain] = size
	return size
}
