// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// blob is an open blob that verifies itself.
type blob struct {
	io.ReadCloser
	path string
}

// Read reads, and says what to do about a damaged file.
func (b *blob) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, damaged(err, b.path)
}

// damaged adds to an error of wrong bytes where they are.
func damaged(err error, path string) error {
	if !errors.Is(err, registry.ErrDigest) {
		return err
	}
	return fmt.Errorf("%w; the file %s is damaged: remove it and pull the image again", err, path)
}

// Seek seeks: below is a file.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	return b.ReadCloser.(io.Seeker).Seek(offset, whence)
}

// Verifies says that who reads to the end need not look again.
func (b *blob) Verifies(d ocispec.Descriptor) bool { return registry.Verifies(b.ReadCloser, d) }
