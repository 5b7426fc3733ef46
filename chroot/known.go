// SPDX-License-Identifier: Apache-2.0

package chroot

import "slices"

// KnownOptions returns the mount options that [ParseOptions] reads itself, sorted. All others are data
// for the file system.
func KnownOptions() []string {
	names := []string{"tmpcopyup", "idmap", "ridmap"}
	for o := range flagOptions {
		names = append(names, o.name)
	}
	for o := range propagationOptions {
		names = append(names, o.name)
	}
	for o := range recursiveOptions {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return names
}
