// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Fetch opens a blob or manifest. When the connection is cut, the reader goes on where it stopped, from the same place or
// another. Where the server serves ranges it is an [io.Seeker]; who seeks past bytes has to check the digest himself.
func (r *Repository) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if isManifest(d.MediaType) && d.Size > maxManifest {
		return nil, fmt.Errorf("fetch %s: a manifest of %d bytes, more than %d", r.object(d.Digest.String()), d.Size, maxManifest)
	}
	b := &blob{
		d: d, hash: d.Digest.Algorithm().Hash(), tries: r.client.retries(), name: r.object(d.Digest.String()),
		open: func(offset int64) (*http.Response, error) { return r.open(ctx, d, offset) },
		wait: func(try int, err error) error {
			if ctx.Err() != nil {
				return fmt.Errorf("fetch %s: %w", r.object(d.Digest.String()), context.Cause(ctx))
			}
			r.client.notice(fmt.Sprintf("%s: %v; going on", r.object(d.Digest.String()), err))
			return r.client.sleep(ctx, backoff(try))
		},
	}
	response, err := b.open(0)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", b.name, err)
	}
	b.body, b.from = response.Body, response.Request.URL.Host
	if response.Header.Get("Accept-Ranges") == "bytes" || response.StatusCode == http.StatusPartialContent {
		return seekable{b}, nil
	}
	return b, nil
}

// open asks for the bytes of a blob from an offset on, at one place after the other.
func (r *Repository) open(ctx context.Context, d ocispec.Descriptor, offset int64) (*http.Response, error) {
	var response *http.Response
	err := r.read(ctx, func(e endpoint) error {
		q := r.request(ctx, e, http.MethodGet, kind(d)+"/"+d.Digest.String(), nil)
		q.header = accept(d)
		if offset > 0 {
			q.header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		answer, err := r.client.ok(ctx, q, http.StatusOK, http.StatusPartialContent)
		if err != nil {
			return err
		}
		if err := position(answer, d, offset); err != nil {
			answer.Body.Close()
			return err
		}
		response = answer
		return nil
	})
	return response, err
}

// position checks that an answer has the bytes of a blob from an offset on, and reads up to there in one that has them
// from the beginning.
func position(response *http.Response, d ocispec.Descriptor, offset int64) error {
	if err := checkDigest(response, d.Digest); err != nil {
		return err
	}
	begin := int64(0)
	if response.StatusCode == http.StatusPartialContent {
		text := response.Header.Get("Content-Range")
		first, last, total, ok := parseContentRange(text)
		if !ok || first != offset || last != d.Size-1 || total >= 0 && total != d.Size {
			return fmt.Errorf("%w: %s gives the range %s in place of %d-%d/%d", registry.ErrDigest, response.Request.URL.Host, printable(fmt.Sprintf("%q", text), 80), offset, d.Size-1, d.Size)
		}
		begin = offset
	}
	if n := response.ContentLength; n >= 0 && n != d.Size-begin {
		return fmt.Errorf("%w: %s gives %d bytes in place of %d", registry.ErrDigest, response.Request.URL.Host, n, d.Size-begin)
	}
	_, err := io.CopyN(io.Discard, response.Body, offset-begin)
	return err
}

// parseContentRange reads the header of an answer with a part; total is -1 where it is not said:
//
//	Content-Range: bytes 42-1233/1234
func parseContentRange(text string) (first, last, total int64, ok bool) {
	unit, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
	span, size, found := strings.Cut(strings.TrimSpace(rest), "/")
	if !found || !strings.EqualFold(unit, "bytes") {
		return 0, 0, 0, false
	}
	if first, last, ok = parseSpan(span); !ok {
		return 0, 0, 0, false
	}
	if size == "*" {
		return first, last, -1, true
	}
	n, err := strconv.ParseUint(size, 10, 63)
	return first, last, int64(n), err == nil && last < int64(n)
}

// parseSpan reads a range of bytes, both ends included: 0-1023.
func parseSpan(text string) (first, last int64, ok bool) {
	from, to, found := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(from, 10, 62) // so that one more is a number, too
	b, err2 := strconv.ParseUint(to, 10, 62)
	return int64(a), int64(b), found && err1 == nil && err2 == nil && a <= b
}

// blob reads a blob over as many connections as it takes.
type blob struct {
	d    ocispec.Descriptor
	name string // for errors
	open func(offset int64) (*http.Response, error)
	wait func(try int, err error) error
	body io.ReadCloser // nil between connections
	from string        // the host of the connection
	at   int64         // the next byte

	hash   hash.Hash
	hashed int64 // how many bytes from the beginning are in the hash

	tries  int
	failed int   // tries since much was read
	since  int64 // where that was
	err    error // that ended it
}

// much is how many bytes have to come for earlier failures to be forgotten.
const much = 1 << 20

// Read reads on; it fails at the end if the bytes are wrong.
func (b *blob) Read(p []byte) (int, error) {
	if len(p) == 0 || b.err != nil {
		return 0, b.err
	}
	if b.at == b.d.Size {
		b.err = b.finish()
		return 0, b.err
	}
	if b.body == nil {
		response, err := b.open(b.at)
		if err != nil {
			return 0, b.cut(err)
		}
		b.body, b.from = response.Body, response.Request.URL.Host
	}
	n, err := b.body.Read(p[:min(int64(len(p)), b.d.Size-b.at)])
	if b.hashed == b.at {
		b.hash.Write(p[:n])
		b.hashed += int64(n)
	}
	b.at += int64(n)
	if err != nil && b.at < b.d.Size {
		if err == io.EOF {
			err = fmt.Errorf("%w: %s gives only %d of %d bytes", registry.ErrDigest, b.from, b.at, b.d.Size)
		}
		return n, b.cut(err)
	}
	return n, nil
}

// cut gives up a connection, and waits before the next one. It returns an error when there have been too many.
func (b *blob) cut(err error) error {
	b.drop()
	if b.at-b.since >= much {
		b.failed, b.since = 0, b.at
	}
	var answer *Error
	if b.failed >= b.tries || errors.As(err, &answer) || !passing(nil, err) {
		b.err = fmt.Errorf("fetch %s: %w", b.name, err)
		return b.err
	}
	b.failed++
	if stop := b.wait(b.failed-1, fmt.Errorf("at byte %d: %w", b.at, err)); stop != nil {
		b.err = stop
	}
	return b.err
}

// finish checks that no more bytes come, and that those that came are right.
func (b *blob) finish() error {
	if b.body != nil {
		n, _ := io.ReadFull(b.body, make([]byte, 1)) // that the connection is cut here does no harm
		b.drop()
		if n > 0 {
			return fmt.Errorf("fetch %s: %w: %s gives more than %d bytes", b.name, registry.ErrDigest, b.from, b.d.Size)
		}
	}
	if b.hashed < b.d.Size {
		return io.EOF // after a seek
	}
	if got := digest.NewDigest(b.d.Digest.Algorithm(), b.hash); got != b.d.Digest {
		return fmt.Errorf("fetch %s: %w: the bytes that %s gives have %s", b.name, registry.ErrDigest, b.from, got)
	}
	return io.EOF
}

// drop closes the connection.
func (b *blob) drop() {
	if b.body != nil {
		b.body.Close()
		b.body = nil
	}
}

// Verifies says whether this is at the beginning of d, so that its Read looks at the digest.
func (b *blob) Verifies(d ocispec.Descriptor) bool {
	return b.at == 0 && b.hashed == 0 && b.d.Digest == d.Digest && b.d.Size == d.Size
}

// Close ends the reading.
func (b *blob) Close() error {
	b.drop()
	if b.err == nil || b.err == io.EOF {
		b.err = errors.New("read after close")
	}
	return nil
}

// seekable is a blob of a server that serves ranges.
type seekable struct{ *blob }

// Seek sets where the next Read begins.
func (s seekable) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.d.Size
	}
	if offset < 0 || offset > s.d.Size {
		return s.at, fmt.Errorf("seek in %s: byte %d is not in it", s.name, offset)
	}
	if s.err != nil && s.err != io.EOF {
		return s.at, s.err
	}
	s.err = nil
	if offset == s.at {
		return offset, nil
	}
	s.drop()
	s.at, s.since = offset, offset
	if offset == 0 {
		s.hash.Reset()
		s.hashed = 0
	}
	return offset, nil
}
