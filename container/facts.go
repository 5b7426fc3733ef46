// SPDX-License-Identifier: Apache-2.0

package container

import (
	"path"
	"strings"

	"stave/security"
)

// Facts are what the plan needs to know about this machine and this configuration's files.
// [ReadFacts] looks; tests make them up.
type Facts struct {
	Security security.Facts
	// UID is the effective user of the caller, 0 for root.
	UID int
	// IsFile tells of each bind source whether it is not a folder.
	IsFile map[string]bool
	// Ours tells of each namespace file that is joined whether the caller is in that namespace.
	Ours map[string]bool
	// Cgroups are the cgroup hierarchies of the caller.
	Cgroups []Hierarchy
	// SharedParent is the mount point that the root folder lies in, where that mount is shared.
	SharedParent string
	// Kcore says that the kernel has /proc/kcore.
	Kcore bool
	// OwnStdio lists those of the descriptors 0, 1, 2 that are pipes or sockets.
	OwnStdio []int
	// Home is the home folder of the command's user, "" where the configuration sets HOME.
	Home string
	// Modes are the permissions of the root's own folders on which a tmpfs comes, by destination.
	Modes map[string]uint32
	// HasHelpers says that newuidmap and newgidmap can be found.
	HasHelpers bool
}

// Hierarchy is one cgroup hierarchy as the caller sees it.
type Hierarchy struct {
	// Controllers are the names as in /proc/self/cgroup ("cpu,cpuacct", "name=systemd"); "" for v2.
	Controllers string
	// Mount is where it is mounted.
	Mount string
	// Own is the path of the caller's cgroup below it.
	Own string
}

// parseCgroups reads /proc/self/cgroup and /proc/self/mountinfo (cgroups(7), proc(5)):
//
//	4:memory:/user
//	1 2       3
//	29 24 0:26 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
//	           4 5                                 8             10
func parseCgroups(cgroup, mountinfo string) []Hierarchy {
	var found []Hierarchy
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		for own := range strings.Lines(cgroup) {
			parts := strings.SplitN(strings.TrimSpace(own), ":", 3)
			if len(parts) != 3 || !sameHierarchy(super[0], super[2], parts[1]) {
				continue
			}
			below := strings.TrimPrefix(path.Clean(parts[2]), strings.TrimSuffix(fields[3], "/"))
			found = append(found, Hierarchy{Controllers: parts[1], Mount: fields[4], Own: path.Clean("/" + below)})
		}
	}
	return found
}

// sameHierarchy tells whether a mount (its type and super block options) is the hierarchy whose
// controllers /proc/self/cgroup lists.
func sameHierarchy(kind, options, controllers string) bool {
	if kind == "cgroup2" {
		return controllers == ""
	}
	if kind != "cgroup" || controllers == "" {
		return false
	}
	have := "," + options + ","
	for c := range strings.SplitSeq(controllers, ",") {
		if !strings.Contains(have, ","+c+",") {
			return false
		}
	}
	return true
}
