// SPDX-License-Identifier: Apache-2.0

package conform

import "strings"

// layout is which versions of cgroups a process sees mounted. The first three words are systemd's.
type layout string

// The layouts. A machine has one of them; a view in a mount namespace shows less (testdata/view.sh).
const (
	legacy  layout = "legacy"  // hierarchies of version 1
	hybrid  layout = "hybrid"  // these, and the tree of version 2
	unified layout = "unified" // version 2 alone
	empty   layout = "empty"   // version 2 without controllers, since hierarchies of version 1 that are not seen have them
)

// layoutOf tells the layout from a mountinfo file (proc_pid_mountinfo(5)) and the controllers of the version 2 tree.
func layoutOf(mountinfo, controllers string) layout {
	first, second := strings.Contains(mountinfo, " - cgroup "), strings.Contains(mountinfo, " - cgroup2 ")
	switch {
	case first && second:
		return hybrid
	case first:
		return legacy
	case strings.Contains(controllers, "memory"):
		return unified
	}
	return empty
}

// views are the layouts that can be shown on a machine with a layout.
func (l layout) views() []layout {
	if l == hybrid {
		return []layout{legacy, empty, hybrid}
	}
	return []layout{l}
}
