// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"slices"

	"github.com/google/go-cmp/cmp"
)

// sorted compares lists of texts whatever their order.
func sorted(func(a, b string) bool) cmp.Option {
	return cmp.Transformer("sorted", func(list []string) map[string]bool {
		set := map[string]bool{}
		for _, one := range slices.Compact(list) {
			set[one] = true
		}
		return set
	})
}
