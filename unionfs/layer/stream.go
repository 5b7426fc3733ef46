// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

const (
	// blockSize is how much a stream reads at once.
	blockSize = 256 << 10
	// blocks is how many blocks a stream has: 2 MiB are enough that reading, hashing and writing seldom wait for each other.
	blocks = 8
)

// block is a piece of an archive on its way from one goroutine to the next.
type block struct {
	data []byte
	err  error // why nothing follows
}

// stream reads an archive ahead, in one goroutine, and computes its digest, in another. It is for one reader.
type stream struct {
	free    chan []byte // blocks to read into
	read    chan block  // from the reader
	hashed  chan block  // from the hasher
	limit   int64       // of bytes
	stop    context.CancelFunc
	digest  hash.Hash // the hasher's, until hashed is closed
	current block
	used    int // bytes of current that were read
}

// newStream starts to read an archive of at most so many bytes. Close it.
func newStream(ctx context.Context, r io.Reader, limit int64) *stream {
	ctx, stop := context.WithCancel(ctx)
	s := &stream{
		free:   make(chan []byte, blocks),
		read:   make(chan block, blocks),
		hashed: make(chan block, blocks),
		limit:  limit,
		stop:   stop,
		digest: digest.Canonical.Hash(),
	}
	for range blocks {
		s.free <- nil
	}
	go s.readAhead(ctx, r)
	go s.hash()
	return s
}

// readAhead fills free blocks until the archive ends or somebody stops the stream.
func (s *stream) readAhead(ctx context.Context, r io.Reader) {
	defer close(s.read)
	for total := int64(0); ; {
		select {
		case <-ctx.Done():
			s.read <- block{err: context.Cause(ctx)}
			return
		case buffer := <-s.free:
			if buffer == nil {
				buffer = make([]byte, blockSize)
			}
			n, err := fill(ctx, r, buffer)
			if total += int64(n); total > s.limit {
				err = fmt.Errorf("the archive has more than %d bytes", s.limit)
			}
			s.read <- block{data: buffer[:n], err: err}
			if err != nil {
				return
			}
		}
	}
}

// fill reads until the buffer is full, the archive ends or somebody stops the stream.
func fill(ctx context.Context, r io.Reader, buffer []byte) (int, error) {
	n, idle := 0, 0
	for n < len(buffer) {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		m, err := r.Read(buffer[n:])
		n += m
		if err != nil {
			return n, err
		}
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// hash passes blocks on and computes their digest.
func (s *stream) hash() {
	defer close(s.hashed)
	for b := range s.read {
		s.digest.Write(b.data)
		s.hashed <- b
	}
}

// next makes the next block the current one.
func (s *stream) next() error {
	if s.current.err != nil {
		return s.current.err
	}
	if s.current.data != nil {
		s.free <- s.current.data[:cap(s.current.data)]
	}
	b, ok := <-s.hashed
	if !ok {
		b.err = context.Canceled // closed
	}
	s.current, s.used = b, 0
	return nil
}

// Read reads the archive.
func (s *stream) Read(p []byte) (int, error) {
	for s.used == len(s.current.data) {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.current.data[s.used:])
	s.used += n
	return n, nil
}

// drain reads the rest of the archive, and then knows the digest of all.
func (s *stream) drain() (digest.Digest, error) {
	for {
		if err := s.next(); errors.Is(err, io.EOF) {
			return digest.NewDigest(digest.Canonical, s.digest), nil
		} else if err != nil {
			return "", err
		}
	}
}

// Close ends both goroutines. The one that reads ends its present read first.
func (s *stream) Close() error {
	s.stop()
	for range s.hashed { // nothing: until it is closed
	}
	return nil
}
