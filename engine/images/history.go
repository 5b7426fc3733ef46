// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"stave/registry"
)

// Step is one step of an image's making.
type Step struct {
	// ID is the image's at its last step; the images in between are unknown.
	ID digest.Digest
	// Tags are the image's names, at its last step.
	Tags    []string
	Created time.Time
	// CreatedBy is the instruction, Comment what was said of it.
	CreatedBy, Comment string
	// Size is how many bytes the step added.
	Size int64
}

// History tells how an image was made, the last step first.
func (s *Images) History(ctx context.Context, image *Image) []Step {
	sizes := &sizes{layers: s.layers, known: map[digest.Digest]int64{}}
	chain := image.Chain()
	layer := 0
	var steps []Step
	for _, h := range image.Config.History {
		step := Step{CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer && layer < len(chain) {
			step.Size = sizes.of(chain[layer], image.Layers[layer].Size)
			layer++
		}
		steps = append(steps, step)
	}
	for ; layer < len(chain); layer++ { // a history that leaves layers out
		steps = append(steps, Step{Created: image.Created(), Size: sizes.of(chain[layer], image.Layers[layer].Size)})
	}
	if len(steps) == 0 {
		steps = append(steps, Step{Created: image.Created()})
	}
	slices.Reverse(steps)
	steps[0].ID = image.ID
	for _, name := range image.Names {
		steps[0].Tags = append(steps[0].Tags, registry.Familiar(name))
	}
	return steps
}
