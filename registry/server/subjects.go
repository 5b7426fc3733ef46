// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"

	"github.com/opencontainers/go-digest"
)

// subjects remembers which manifest has which subject, so that not every question for referrers reads all manifests. What a digest stands
// for never changes, so nothing in it is ever outdated.
type subjects struct {
	lock sync.Mutex
	of   map[digest.Digest]digest.Digest
}

// maxSubjects bounds the memory that subjects takes; then it starts anew.
const maxSubjects = 100_000

// get is the subject of a manifest, "" for one without, and whether it is known.
func (s *subjects) get(m digest.Digest) (digest.Digest, bool) {
	s.lock.Lock()
	defer s.lock.Unlock()
	subject, known := s.of[m]
	return subject, known
}

// put remembers the subject of a manifest.
func (s *subjects) put(d digest.Digest, m manifest) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.of == nil || len(s.of) >= maxSubjects {
		s.of = map[digest.Digest]digest.Digest{}
	}
	s.of[d] = ""
	if m.Subject != nil {
		s.of[d] = m.Subject.Digest
	}
}
