// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"stave/registry"
)

// compression is how bytes are compressed.
type compression int

// The compressions that are known, by the first bytes.
const (
	plain compression = iota
	gzipped
	zstded
	bzipped
	xzed
)

// magicBytes is how many bytes tell the compression.
const magicBytes = 6

// compressionOf tells it.
func compressionOf(head []byte) compression {
	magic := map[string]compression{"\x1f\x8b": gzipped, "\x28\xb5\x2f\xfd": zstded, "BZh": bzipped, "\xfd7zXZ\x00": xzed}
	for prefix, c := range magic {
		if bytes.HasPrefix(head, []byte(prefix)) {
			return c
		}
	}
	return plain
}

// decompress reads what is compressed. A zstd stream may not want more than 128 MiB of memory, the most that zstd itself asks
// for without special options.
func decompress(r io.Reader, c compression) (io.ReadCloser, error) {
	switch c {
	case plain:
		return io.NopCloser(r), nil
	case gzipped:
		return gzip.NewReader(r)
	case zstded:
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bzipped:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return nil, fmt.Errorf("compressed with xz; decompress it first, with unxz: %w", registry.ErrUnsupported)
}
