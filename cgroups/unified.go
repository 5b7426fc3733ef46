// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// unified plans linux.resources.unified: values for files of version 2 by name, in the order of names. A value of several
// lines is several writes, since the kernel takes one device at a time.
func (p *planner) unified(r *specs.LinuxResources) error {
	for _, name := range slices.Sorted(maps.Keys(r.Unified)) {
		field := "unified[" + strconv.Quote(name) + "]"
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return refuse(field, strconv.Quote(r.Unified[name]), "the group's v2 folder", "give the name of a file in that folder, like memory.high")
		}
		f, ok := p.group.Unified()
		if !ok {
			return refuse(field, strconv.Quote(r.Unified[name]), name, "no hierarchy of version 2 on this machine (its hierarchies: "+
				p.group.hierarchies()+"): use the other fields of linux.resources")
		}
		controller, _, _ := strings.Cut(name, ".")
		if controller != "cgroup" && !strings.HasSuffix(name, ".pressure") && !slices.Contains(f.Controllers, controller) {
			return refuse(field, strconv.Quote(r.Unified[name]), f.File(name), "the v2 hierarchy has no controller "+controller+
				" (the hierarchies: "+p.group.hierarchies()+"): use the other fields of linux.resources")
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(r.Unified[name], "\n"), "\n") {
			p.optional(f, name, line, "the configuration names this file of version 2 itself", "the kernel has no such file: see the files in "+f.Path)
		}
	}
	return nil
}

// before returns what to write into a file to make a write undone, where old is the file's text before it. Files with a
// line for each device take one line: that of the device, or what means none.
func before(w kernel.WriteFile, old string) string {
	name := path.Base(w.Path)
	key, _, _ := strings.Cut(w.Data, " ")
	first, _, _ := strings.Cut(old, "\n")
	switch {
	case name == "memory.oom_control": // "oom_kill_disable 0"
		return strings.TrimPrefix(first, "oom_kill_disable ") + "\n"
	case !strings.Contains(key, ":") && !slices.Contains([]string{"net_prio.ifpriomap", "rdma.max", "misc.max"}, name):
		return first + "\n"
	}
	for line := range strings.Lines(old) {
		if strings.HasPrefix(line, key+" ") {
			return line
		}
	}
	switch name {
	case "io.max":
		return key + " rbps=max wbps=max riops=max wiops=max\n"
	case "io.latency":
		return key + " target=0\n"
	case "io.weight", "io.bfq.weight":
		return key + " default\n"
	}
	return key + " 0\n"
}
