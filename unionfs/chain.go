// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/opencontainers/go-digest"
)

// ChainIDs names each layer of an image together with all below it (image-spec, config.md, "Layer ChainID"): the lowest one's
// chain ID is its diff ID, the others' is the digest of the chain ID below, a blank and the own diff ID.
func ChainIDs(diffIDs []digest.Digest) []digest.Digest {
	chain := make([]digest.Digest, len(diffIDs))
	for i, diffID := range diffIDs {
		if i == 0 {
			chain[i] = diffID
			continue
		}
		chain[i] = above(chain[i-1], diffID)
	}
	return chain
}

// above is the chain ID of a layer on top of a chain.
func above(chain, diffID digest.Digest) digest.Digest {
	sum := sha256.Sum256([]byte(chain + " " + diffID))
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum[:])) // a list of images computes thousands: without package fmt
}
