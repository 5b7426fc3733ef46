// SPDX-License-Identifier: Apache-2.0

package unionfs

import "github.com/opencontainers/go-digest"

// Layer is an unpacked layer.
type Layer struct {
	// ChainID names the layer together with all below it (image-spec, config.md, "Layer ChainID"), DiffID the layer alone: the
	// digest of its uncompressed archive.
	ChainID, DiffID digest.Digest
	// Path is the folder with its files, and with whiteouts as overlay has them.
	Path string
	// Size is how many bytes its files hold.
	Size int64
}
