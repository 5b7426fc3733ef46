// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"io"
)

// Pack writes the folder dir, with overlay's whiteouts in it, as an uncompressed layer archive. The same folder gives the same
// bytes. A tree without whiteouts, such as a container's root, becomes a plain archive.
func Pack(ctx context.Context, w io.Writer, dir string, o Options) error {
	return errors.New("not yet")
}

// Diff writes the layer archive that makes the tree new of the tree old.
func Diff(ctx context.Context, w io.Writer, old, new string, o Options) error {
	return errors.New("not yet")
}
