// SPDX-License-Identifier: Apache-2.0

package registry

import (
	_ "crypto/sha256" // the algorithms that a digest may have
	_ "crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Verifier is a writer that compares what is written to it with a descriptor.
type Verifier struct {
	want    ocispec.Descriptor
	hash    hash.Hash
	written int64
}

// NewVerifier returns the verifier of a descriptor. A descriptor with a digest that is malformed or of an unknown algorithm, or
// with a negative size, is an error.
func NewVerifier(d ocispec.Descriptor) (*Verifier, error) {
	if err := CheckDescriptor(d); err != nil {
		return nil, err
	}
	return &Verifier{want: d, hash: d.Digest.Algorithm().Hash()}, nil
}

// CheckDescriptor looks whether the digest of a descriptor is well-formed, so that it may become a part of a path, and its size too.
func CheckDescriptor(d ocispec.Descriptor) error {
	if err := checkDigest(d.Digest); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("blob %s: its size is %d", d.Digest, d.Size)
	}
	return nil
}

// checkDigest is the digest's own Validate, without its regular expressions for the algorithm that nearly all have.
func checkDigest(d digest.Digest) error {
	encoded, is := strings.CutPrefix(string(d), "sha256:")
	if is && len(encoded) == 64 && strings.Trim(encoded, "0123456789abcdef") == "" {
		return nil
	}
	return d.Validate()
}

// Write takes the next bytes. It fails with [ErrDigest] once there are more than the descriptor says.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.written+int64(len(p)) > v.want.Size {
		return 0, fmt.Errorf("blob %s has more than its %d bytes: %w", v.want.Digest, v.want.Size, ErrDigest)
	}
	v.written += int64(len(p))
	return v.hash.Write(p)
}

// Written is how many bytes it was given so far.
func (v *Verifier) Written() int64 { return v.written }

// Reset forgets all that was written.
func (v *Verifier) Reset() {
	v.hash.Reset()
	v.written = 0
}

// Verify says, after the last byte, whether it was what the descriptor names; if not, with [ErrDigest].
func (v *Verifier) Verify() error {
	if v.written != v.want.Size {
		return fmt.Errorf("blob %s ends after %d of %d bytes: %w", v.want.Digest, v.written, v.want.Size, ErrDigest)
	}
	got := fmt.Sprintf("%s:%x", v.want.Digest.Algorithm(), v.hash.Sum(nil))
	if got != v.want.Digest.String() {
		return fmt.Errorf("blob %s has the digest %s: %w", v.want.Digest, got, ErrDigest)
	}
	return nil
}

// VerifyBytes says whether bytes are what a descriptor names; if not, with [ErrDigest].
func VerifyBytes(d ocispec.Descriptor, data []byte) error {
	v, err := NewVerifier(d)
	if err != nil {
		return err
	}
	if _, err := v.Write(data); err != nil {
		return err
	}
	return v.Verify()
}

// Verifying is a reader that may verify what it gives, as those of [Verify] do. A store that is pushed what verifies itself need not
// hash it as well.
type Verifying interface {
	// Verifies tells whether who now reads to the end gets the whole of d, or an error.
	Verifies(d ocispec.Descriptor) bool
}

// Verifies tells whether a reader is [Verifying] and verifies d.
func Verifies(r io.Reader, d ocispec.Descriptor) bool {
	v, is := r.(Verifying)
	return is && v.Verifies(d)
}

// Verify returns a reader that gives what r gives as long as it is what d names, as [Store]'s Fetch promises. It closes r if
// that can be closed. If r is an [io.Seeker], which has to stand at its beginning, so is the result: what is skipped forward is
// read and verified all the same.
func Verify(r io.Reader, d ocispec.Descriptor) io.ReadCloser {
	verifier, err := NewVerifier(d)
	reader := &verifyingReader{from: r, verifier: verifier, err: err}
	if s, is := r.(io.Seeker); is {
		return &verifyingSeeker{reader, s}
	}
	return reader
}

// verifyingReader reads and verifies. What it found wrong it says for ever.
type verifyingReader struct {
	from     io.Reader
	verifier *Verifier
	err      error
}

// Read reads at most to the size that the descriptor names, then looks whether there is more.
func (r *verifyingReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	left := r.verifier.want.Size - r.verifier.written
	p = p[:min(int64(len(p)), max(left, 1))] // one byte more than there should be tells enough
	n, err := r.from.Read(p)
	if _, more := r.verifier.Write(p[:n]); more != nil {
		n, err = 0, more
	}
	if err == io.EOF {
		if wrong := r.verifier.Verify(); wrong != nil {
			err = wrong
		}
	}
	r.err = err
	return n, err
}

// Verifies says whether this is at the beginning of d.
func (r *verifyingReader) Verifies(d ocispec.Descriptor) bool {
	return r.verifier != nil && r.verifier.written == 0 && r.verifier.want.Digest == d.Digest && r.verifier.want.Size == d.Size
}

// Close closes the reader below.
func (r *verifyingReader) Close() error {
	if c, is := r.from.(io.Closer); is {
		return c.Close()
	}
	return nil
}

// verifyingSeeker is a verifyingReader that can seek.
type verifyingSeeker struct {
	*verifyingReader
	seeker io.Seeker
}

// Seek goes to an offset. Going back begins anew, since a hash can't.
func (s *verifyingSeeker) Seek(offset int64, whence int) (int64, error) {
	if s.verifier == nil {
		return 0, s.err
	}
	switch whence {
	case io.SeekCurrent:
		offset += s.verifier.written
	case io.SeekEnd:
		offset += s.verifier.want.Size
	}
	if offset < 0 || offset > s.verifier.want.Size {
		return 0, fmt.Errorf("seek to %d in blob %s of %d bytes: %w", offset, s.verifier.want.Digest, s.verifier.want.Size, errors.ErrUnsupported)
	}
	if offset < s.verifier.written || s.err != nil {
		if _, err := s.seeker.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		s.verifier.Reset()
		s.err = nil
	}
	_, err := io.CopyN(io.Discard, s.verifyingReader, offset-s.verifier.written)
	return s.verifier.written, err
}
