// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"maps"
	"slices"
)

// KnownOptions returns the mount options that [ParseOptions] reads itself, sorted. All others are data
// for the file system.
func KnownOptions() []string {
	names := []string{"tmpcopyup", "idmap", "ridmap"}
	names = slices.AppendSeq(names, maps.Keys(flagOptions()))
	names = slices.AppendSeq(names, maps.Keys(propagationOptions()))
	names = slices.AppendSeq(names, maps.Keys(recursiveOptions()))
	slices.Sort(names)
	return names
}
