// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow bounds how far back a zstd archive may refer, and so the memory to read it: 128 MiB, as the command zstd does
	// unless told otherwise.
	maxWindow = 128 << 20
	// readBuffer is for compressed bytes.
	readBuffer = 128 << 10
)

// magic is how a compressed archive starts.
type magic struct {
	name  string
	start []byte
	open  func(io.Reader) (io.ReadCloser, error)
}

// magics are the compressions that we know; those without open we can't read.
func magics() []magic {
	return []magic{
		{"gzip", []byte{0x1f, 0x8b}, openGzip},
		{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, openZstd},
		{"bzip2", []byte("BZh"), nil},
		{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, nil},
		{"lz4", []byte{0x04, 0x22, 0x4d, 0x18}, nil},
	}
}

// Decompress reads what was compressed with gzip or zstd, or not at all; the first bytes tell. Its memory is bounded. Close
// it; r stays open.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, readBuffer)
	start, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the start of a layer: %w", err)
	}
	if isTar(start) { // first, because an archive starts with the name of a file, which may be "BZh"
		return io.NopCloser(buffered), nil
	}
	if skippable(start) {
		return openZstd(buffered)
	}
	for _, m := range magics() {
		if !bytes.HasPrefix(start, m.start) {
			continue
		}
		if m.open == nil {
			return nil, fmt.Errorf("the layer is compressed with %s: layers are tar, tar with gzip or tar with zstd", m.name)
		}
		return m.open(buffered)
	}
	return io.NopCloser(buffered), nil
}

// isTar says whether the first block of an archive has the magic field of POSIX and GNU.
func isTar(start []byte) bool {
	return len(start) == 512 && bytes.Equal(start[257:262], []byte("ustar"))
}

// skippable says whether a zstd archive starts with a frame that only other programs understand (RFC 8878, 3.1.2).
func skippable(start []byte) bool {
	return len(start) >= 4 && start[0]&0xf0 == 0x50 && bytes.Equal(start[1:4], []byte{0x2a, 0x4d, 0x18})
}

// openGzip reads gzip members, one after the other.
func openGzip(r io.Reader) (io.ReadCloser, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("read a layer with gzip: %w", err)
	}
	return z, nil
}

// openZstd reads zstd frames in the goroutine that asks, which is one of its own in Unpack.
func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("read a layer with zstd: %w", err)
	}
	return z.IOReadCloser(), nil
}
