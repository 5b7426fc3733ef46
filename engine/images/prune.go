// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
)

// PruneOptions say which images are pruned: of those that no container uses, the dangling ones, or all.
type PruneOptions struct {
	All bool
	// Filter may set Labels, WithoutLabels and Until.
	Filter Filter
}

// Prune removes images that nobody needs, and what was left in the store by commands that were killed.
func (s *Images) Prune(ctx context.Context, o PruneOptions) (Removed, error) {
	var r removing
	err := s.underTurn(func() error {
		list, broken := s.all(ctx)
		if broken != nil {
			return broken // what can't be read may be what somebody needs
		}
		list, err := o.Filter.apply(list)
		if err != nil {
			return err
		}
		used, err := s.used(ctx)
		if err != nil {
			return err
		}
		for _, image := range list {
			if used[image.ID] || !image.Dangling() && !o.All {
				continue
			}
			if err := s.unname(ctx, image, slices.Concat(image.Names, image.Digests), true, &r); err != nil {
				return err
			}
		}
		return nil
	})
	err = errors.Join(err, s.collect(ctx, &r))
	return r.Removed, err
}

// used is the set of images that containers use.
func (s *Images) used(ctx context.Context) (map[digest.Digest]bool, error) {
	used := map[digest.Digest]bool{}
	if s.o.Users == nil {
		return used, nil
	}
	users, err := s.o.Users(ctx)
	for _, u := range users {
		used[u.Image] = true
	}
	return used, err
}
