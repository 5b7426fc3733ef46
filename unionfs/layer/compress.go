// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"io"

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

// Decompress reads what was compressed with gzip or zstd, or not at all; the first bytes tell. Its memory is bounded. Close
// it; r stays open.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	return nil, errors.New("not yet")
}

// Compressor compresses a layer on its way to a writer.
type Compressor struct{}

// Compress returns a compressor that writes to w. The same bytes give the same bytes. Level 0 means the default; gzip has 1 to 9, zstd
// 1 to 22.
func Compress(w io.Writer, c Compression, level int) (*Compressor, error) {
	return nil, errors.New("not yet")
}

// Write compresses bytes.
func (c *Compressor) Write(p []byte) (int, error) { return 0, errors.New("not yet") }

// Close writes what is left and ends the compression; the writer below stays open.
func (c *Compressor) Close() error { return errors.New("not yet") }

// Digest is that of the compressed bytes, after Close.
func (c *Compressor) Digest() digest.Digest { return "" }

// Size is how many compressed bytes were written.
func (c *Compressor) Size() int64 { return 0 }

// DiffID is the digest of the bytes before compression.
func (c *Compressor) DiffID() digest.Digest { return "" }
