// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// Compression is how a layer is compressed.
type Compression int

// The compressions of layers (image-spec, layer.md, "+gzip Media Types", "+zstd Media Types").
const (
	None Compression = iota
	Gzip
	Zstd
)

// Compressor compresses a layer on its way to a writer.
type Compressor struct {
	to     io.WriteCloser
	plain  hash.Hash
	packed *counter
}

// counter passes bytes on and knows their number and digest.
type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

// Write passes bytes on. Only what was taken counts.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

// uncompressed is a counter as the last writer of a chain.
type uncompressed struct{ *counter }

// Close has nothing to write.
func (uncompressed) Close() error { return nil }

// Compress returns a compressor that writes to w. The same bytes give the same bytes. Level 0 means the default; gzip has 1 to 9, zstd
// 1 to 22.
func Compress(w io.Writer, c Compression, level int) (*Compressor, error) {
	packed := &counter{w: w, hash: digest.Canonical.Hash()}
	to, err := compressed(packed, c, level)
	if err != nil {
		return nil, err
	}
	return &Compressor{to: to, plain: digest.Canonical.Hash(), packed: packed}, nil
}

// compressed is the writer that compresses. One goroutine does it, so that the bytes don't depend on the machine.
func compressed(w *counter, c Compression, level int) (io.WriteCloser, error) {
	switch {
	case c == None && level == 0:
		return uncompressed{w}, nil
	case c == Gzip && level == 0:
		return gzip.NewWriter(w), nil
	case c == Gzip && level >= gzip.BestSpeed && level <= gzip.BestCompression:
		return gzip.NewWriterLevel(w, level)
	case c == Zstd && level == 0:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	case c == Zstd && level >= 1 && level <= 22:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
	}
	return nil, fmt.Errorf("compress a layer: %s has no level %d", c, level)
}

// String is the compression's name.
func (c Compression) String() string {
	switch c {
	case None:
		return "no compression"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression %d", int(c))
}

// Write compresses bytes.
func (c *Compressor) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.plain.Write(p[:n])
	return n, err
}

// Close writes what is left and ends the compression; the writer below stays open.
func (c *Compressor) Close() error { return c.to.Close() }

// Digest is that of the compressed bytes, after Close.
func (c *Compressor) Digest() digest.Digest {
	return digest.NewDigest(digest.Canonical, c.packed.hash)
}

// Size is how many compressed bytes were written.
func (c *Compressor) Size() int64 { return c.packed.n }

// DiffID is the digest of the bytes before compression.
func (c *Compressor) DiffID() digest.Digest {
	return digest.NewDigest(digest.Canonical, c.plain)
}
