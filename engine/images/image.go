// SPDX-License-Identifier: Apache-2.0

package images

import (
	"cmp"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/unionfs"
)

// Image is an image of the store with all its names.
type Image struct {
	// ID is the digest of the configuration.
	ID digest.Digest
	// Manifest describes the manifest; of several with the same configuration one that has a name, if any has.
	Manifest ocispec.Descriptor
	// Layers are those of the manifest, the lowest first.
	Layers []ocispec.Descriptor
	// Names are its names with tags, in full, and Digests those with digests; both are sorted. Names that other programs gave stand
	// among Names as they are.
	Names, Digests []string
	// Config is the configuration.
	Config *Config
	// Size is how many bytes the unpacked layers hold; of layers that are not unpacked, the bytes of the packed ones.
	Size int64

	manifests []digest.Digest // all that have this configuration
}

// Dangling tells whether the image has lost its last name. One that was pulled by digest has a name.
func (i *Image) Dangling() bool { return len(i.Names) == 0 && len(i.Digests) == 0 }

// Created is when the image was made; the zero time where it doesn't say.
func (i *Image) Created() time.Time { return i.Config.made() }

// Platform is what the image was made for.
func (i *Image) Platform() ocispec.Platform { return i.Config.Platform }

// Chain lists the chain IDs of the image's layers, the lowest first.
func (i *Image) Chain() []digest.Digest { return unionfs.ChainIDs(i.Config.RootFS.DiffIDs) }

// Short is an ID as people type it: its first 12 digits.
func Short(id digest.Digest) string {
	text := id.Encoded()
	return text[:min(12, len(text))]
}

// byAge puts newer images first.
func byAge(a, b *Image) int {
	return cmp.Or(b.Created().Compare(a.Created()), cmp.Compare(a.ID, b.ID))
}

// addName adds one name to the image.
func (i *Image) addName(name string) {
	if _, ok := parse(name).(reference.Digested); ok {
		i.Digests = append(i.Digests, name)
		return
	}
	i.Names = append(i.Names, name)
}

// sort puts the names in order.
func (i *Image) sort() {
	slices.Sort(i.Names)
	slices.Sort(i.Digests)
}
