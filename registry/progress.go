// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"io"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// progressStep is how many bytes lie between two reports, at least.
const progressStep = 128 << 10

// progress passes events on, one at a time.
type progress struct {
	mu   sync.Mutex
	tell func(Event)
}

// send passes an event on, if anybody listens.
func (p *progress) send(e Event) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(e)
}

// reader returns a reader that reports how far it was read. It is an io.Seeker if r is.
func (p *progress) reader(d ocispec.Descriptor, r io.Reader) io.Reader {
	if p.tell == nil {
		return r
	}
	counting := &countingReader{progress: p, descriptor: d, from: r}
	if s, is := r.(io.Seeker); is {
		return &countingSeeker{counting, s}
	}
	return counting
}

// countingReader counts what is read of a blob.
type countingReader struct {
	progress   *progress
	descriptor ocispec.Descriptor
	from       io.Reader
	offset     int64
	reported   int64
}

// Read reads and reports.
func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.offset += int64(n)
	if r.offset-r.reported >= progressStep {
		r.report()
	}
	return n, err
}

// Verifies says whether the reader below does.
func (r *countingReader) Verifies(d ocispec.Descriptor) bool { return Verifies(r.from, d) }

// report tells the offset.
func (r *countingReader) report() {
	r.reported = r.offset
	r.progress.send(Event{Stage: Progressed, Descriptor: r.descriptor, Offset: r.offset})
}

// countingSeeker is a countingReader that can seek.
type countingSeeker struct {
	*countingReader
	seeker io.Seeker
}

// Seek seeks, and reports where a copy is resumed.
func (s *countingSeeker) Seek(offset int64, whence int) (int64, error) {
	to, err := s.seeker.Seek(offset, whence)
	if err == nil && to != s.offset {
		s.offset = to
		s.report()
	}
	return to, err
}

// newBytes is a reader of bytes in memory.
func newBytes(data []byte) io.Reader { return bytes.NewReader(data) }
