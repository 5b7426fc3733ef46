// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// source is what an upload reads. It gives its last bytes away only when all of them have the right digest, so a wrong blob
// never becomes complete at the registry.
type source struct {
	d      ocispec.Descriptor
	r      io.Reader
	seeker io.Seeker // nil if r can't be read again
	start  int64     // where the blob begins in it
	at     int64     // the next byte

	hash   hash.Hash
	hashed int64 // how many bytes from the beginning are in the hash: at least up to at
	err    error // of the source itself, which no other try makes good
}

// newSource makes a source of a reader.
func newSource(d ocispec.Descriptor, r io.Reader) *source {
	s := &source{d: d, r: r, hash: d.Digest.Algorithm().Hash()}
	if seeker, ok := r.(io.Seeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil {
			s.seeker, s.start = seeker, start
		}
	}
	return s
}

// from sets where the next Read begins.
func (s *source) from(offset int64) (io.Reader, error) {
	if s.err != nil {
		return nil, s.err
	}
	if offset == s.at {
		return s, nil
	}
	if s.seeker == nil {
		return nil, &localError{errors.New("the upload was cut, and what it reads can't be read again")}
	}
	if _, err := s.seeker.Seek(s.start+offset, io.SeekStart); err != nil {
		s.err = err
		return nil, err
	}
	s.at = offset
	return s, nil
}

// again says whether after an error there may be another try.
func (s *source) again(err error) bool {
	return s.err == nil && (errors.Is(err, errRestart) || errors.Is(err, errGoOn) || passing(nil, err))
}

// Read reads on. Bytes that are read a second time are not hashed again: the registry has its own eyes.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.at == s.d.Size {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.d.Size-s.at)])
	if fresh := s.at + int64(n) - s.hashed; fresh > 0 {
		s.hash.Write(p[int64(n)-fresh : n])
		s.hashed += fresh
	}
	s.at += int64(n)
	switch {
	case s.at == s.d.Size:
		if s.err = s.finish(); s.err != nil {
			return 0, s.err
		}
	case err == io.EOF:
		s.err = fmt.Errorf("%w: there are only %d of %d bytes", registry.ErrDigest, s.at, s.d.Size)
		return 0, s.err
	case err != nil:
		s.err = err
		return 0, err
	}
	return n, nil
}

// finish checks that the source is at its end, and that its bytes were right.
func (s *source) finish() error {
	n, err := io.ReadFull(s.r, make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("%w: there are more than %d bytes", registry.ErrDigest, s.d.Size)
	}
	if err != io.EOF {
		return err
	}
	if got := digest.NewDigest(s.d.Digest.Algorithm(), s.hash); got != s.d.Digest {
		return fmt.Errorf("%w: the bytes have %s", registry.ErrDigest, got)
	}
	return nil
}
