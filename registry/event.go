// SPDX-License-Identifier: Apache-2.0

package registry

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Stage is what happens to a blob or manifest during a copy.
type Stage int

// The stages. A blob that is copied goes from Started over any number of Progressed to Done; one that need not be copied
// has Existed or Mounted alone.
const (
	Started Stage = iota + 1
	Progressed
	Done
	Existed // the destination has it already
	Mounted // the registry took it over from another of its repositories
)

// Event tells of the progress of a copy.
type Event struct {
	Stage      Stage
	Descriptor ocispec.Descriptor
	// Offset is how many bytes of the blob have been copied; a copy that is resumed starts above 0.
	Offset int64
}
