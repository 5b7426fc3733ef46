// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"path"
	"slices"
	"strings"
)

// Layout is the hierarchies of a machine, as a process sees them: those of version 1 in the order of their
// mounts, then that of version 2. None at all is a layout too.
type Layout struct {
	Hierarchies []Hierarchy
}

// Hierarchy is one mounted tree of cgroups.
type Hierarchy struct {
	// Version is 1 or 2.
	Version int
	// Controllers are what the tree limits: of version 1 as in /proc/self/cgroup ("cpu", "cpuacct", "name=systemd"),
	// of version 2 as in cgroup.controllers of the cgroup at Mount.
	Controllers []string
	// Mount is where the tree is mounted.
	Mount string
	// Own is the path of this process's own cgroup below Mount, "/" for Mount itself.
	Own string
}

// The names for the kinds of layouts.
const (
	None  = "none"  // no hierarchy is mounted
	V1    = "v1"    // only version 1
	V2    = "v2"    // only version 2
	Mixed = "mixed" // controllers in version 1, and a tree of version 2 beside them
)

// Kind names the layout: [None], [V1], [V2] or [Mixed].
func (l Layout) Kind() string {
	v2 := slices.ContainsFunc(l.Hierarchies, func(h Hierarchy) bool { return h.Version == 2 })
	switch {
	case len(l.Hierarchies) == 0:
		return None
	case !v2:
		return V1
	case len(l.Hierarchies) == 1:
		return V2
	}
	return Mixed
}

// Sample returns the layout that machines of a kind usually have, to explain what would be done there.
func Sample(kind string) Layout {
	const top = "/sys/fs/cgroup"
	unified := Hierarchy{Version: 2, Mount: top, Own: "/", Controllers: []string{
		"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma",
	}}
	if kind == V2 {
		return Layout{[]Hierarchy{unified}}
	}
	var l Layout
	for _, controllers := range []string{
		"cpuset", "cpu,cpuacct", "blkio", "memory", "devices", "freezer", "net_cls,net_prio", "perf_event", "hugetlb", "pids", "rdma",
	} {
		l.Hierarchies = append(l.Hierarchies, Hierarchy{
			Version: 1, Controllers: strings.Split(controllers, ","), Mount: top + "/" + controllers, Own: "/",
		})
	}
	return l
}

// parse reads /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)):
//
//	32 31 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
//	           1 2                                 3             4
//	4:memory:/user
//	  4      5
//
// The root of the mount (1) is cut off the process's path (5). A tree that is mounted twice counts once.
func parse(mountinfo, cgroup string) Layout {
	var v1, v2 []Hierarchy
	seen := map[string]bool{}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(super) < 3 {
			continue
		}
		for own := range strings.Lines(cgroup) {
			parts := strings.SplitN(strings.TrimSpace(own), ":", 3)
			if len(parts) != 3 || seen[parts[1]] || !sameHierarchy(super[0], super[2], parts[1]) {
				continue
			}
			seen[parts[1]] = true
			h := Hierarchy{Version: 2, Mount: unescape(fields[4]), Own: below(parts[2], unescape(fields[3]))}
			if parts[1] == "" {
				v2 = append(v2, h)
				continue
			}
			h.Version, h.Controllers = 1, strings.Split(parts[1], ",")
			v1 = append(v1, h)
		}
	}
	return Layout{append(v1, v2...)}
}

// below cuts the root of a mount off the path of a cgroup.
func below(cgroup, root string) string {
	return path.Clean("/" + strings.TrimPrefix(path.Clean(cgroup), strings.TrimSuffix(root, "/")))
}

// unescape turns the octal escapes of mountinfo back into the characters they stand for (proc_pid_mountinfo(5)).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// sameHierarchy tells whether a mount (its type and super block options) is the hierarchy whose controllers
// /proc/self/cgroup lists.
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
