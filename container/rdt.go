// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Resctrl is what the plan needs to know of the resctrl file system (Documentation/filesystems/resctrl.rst), through which
// processors with Intel's RDT share caches and memory bandwidth.
type Resctrl struct {
	// Mount is where it is mounted, "" where it is not.
	Mount string
	// Exists says that the container's group is there already, and Schemata is what its file of that name holds.
	Exists   bool
	Schemata string
}

// rdtGroup is the folder of the container's group below the mount: closID, or the container's own.
func rdtGroup(r *specs.LinuxIntelRdt, id string) string { return path.Join("/", firstOf(r.ClosID, id)) }

// firstOf returns the first word that is not empty.
func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// rdtLines are the lines for the file schemata, in the order in which they are to be written.
func rdtLines(r *specs.LinuxIntelRdt) []string {
	lines := slices.Concat([]string{r.L3CacheSchema, r.MemBwSchema}, r.Schemata)
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}

// rdt plans linux.intelRdt (config-linux.md, "IntelRdt"): the group is made and its shares are set before the clone, and the
// process puts itself into it.
func (p *planner) rdt() error {
	r := p.spec.Linux.IntelRdt
	if r == nil {
		return nil
	}
	if err := p.checkRdt(r); err != nil {
		return fmt.Errorf("linux.intelRdt%w", err)
	}
	facts := p.facts.Resctrl
	group := path.Join(facts.Mount, rdtGroup(r, p.options.ID))
	var host []kernel.Call
	if !facts.Exists {
		host = append(host, kernel.Call{Request: MakeFolder{Path: group}, Why: "a class of service: those in it share caches and memory bandwidth"})
	}
	if lines := rdtLines(r); len(lines) > 0 && !facts.Exists {
		for _, line := range lines {
			host = append(host, kernel.Call{
				Request: kernel.WriteFile{Path: group + "/schemata", Data: line + "\n"}, Why: "the share of the container",
			})
		}
	}
	groups := []string{group}
	if r.EnableMonitoring {
		monitor := path.Join(group, "mon_groups", p.options.ID)
		host = append(host, kernel.Call{Request: MakeFolder{Path: monitor}, Why: "the kernel counts what the container uses, apart from others of its class"})
		groups = append(groups, monitor)
	}
	p.host = slices.Insert(p.host, len(p.grouping), host...)
	p.grouping = append(slices.Clone(p.grouping), host...)
	for _, folder := range groups {
		p.inside = append(p.inside, kernel.Call{
			Request: kernel.WriteFile{Path: folder + "/tasks", Data: "0"}, Why: "the process puts itself (0) there, and its children with it",
		})
	}
	return nil
}

// checkRdt refuses what can't be done. The text of the error begins behind the field's name.
func (p *planner) checkRdt(r *specs.LinuxIntelRdt) error {
	facts, lines := p.facts.Resctrl, rdtLines(r)
	switch {
	case facts.Mount == "":
		return errors.New(": no resctrl file system is mounted here: mount it (mount -t resctrl resctrl /sys/fs/resctrl) on a machine whose processor has RDT, or take the field out of the configuration")
	case r.ClosID != "/" && (strings.Contains(r.ClosID, "/") || slices.Contains([]string{".", "..", "info", "mon_groups", "mon_data"}, firstOf(r.ClosID, p.options.ID))):
		return fmt.Errorf(".closID %q can't be the name of a group", firstOf(r.ClosID, p.options.ID))
	case r.MemBwSchema != "" && !strings.HasPrefix(r.MemBwSchema, "MB:"):
		return fmt.Errorf(".memBwSchema %q: MB: comes first, then domains and values", r.MemBwSchema)
	case slices.ContainsFunc(lines, func(line string) bool { return strings.ContainsAny(line, "\n\x00") }):
		return fmt.Errorf(": a schema holds a line feed or a NUL byte: %q", lines)
	case r.ClosID == "" && facts.Exists:
		return fmt.Errorf(": the group %s is there already: name it as closID, or remove it (rmdir)", path.Join(facts.Mount, p.options.ID))
	case r.ClosID != "" && len(lines) == 0 && !facts.Exists:
		return fmt.Errorf(".closID %q: there is no such group in %s, and no schema to make one", r.ClosID, facts.Mount)
	}
	if facts.Exists {
		for _, line := range lines {
			if !hasSchema(facts.Schemata, line) {
				return fmt.Errorf(".closID %q: the group is there already, and %q is not what its schemata say: %q", r.ClosID, line, facts.Schemata)
			}
		}
	}
	return nil
}

// hasSchema tells whether a file schemata has a line. The kernel writes spaces before the name.
//
//	MB:0=100;1=100
//	L3:0=7ff;1=7ff
func hasSchema(file, line string) bool {
	for have := range strings.Lines(file) {
		if strings.TrimSpace(have) == strings.TrimSpace(line) {
			return true
		}
	}
	return false
}

// rdtLeft lists the folders that are to be removed with a container, in that order: its own, and not what was named.
func rdtLeft(r *specs.LinuxIntelRdt, f Resctrl, id string) []string {
	if r == nil || f.Mount == "" {
		return nil
	}
	var left []string
	group := path.Join(f.Mount, rdtGroup(r, id))
	if r.EnableMonitoring {
		left = append(left, path.Join(group, "mon_groups", id))
	}
	if r.ClosID == "" {
		left = append(left, group)
	}
	return left
}

// MakeFolder makes a folder of a kernel file system, which means more there than elsewhere (mkdir(2)).
type MakeFolder struct{ Path string }

// String names it.
func (m MakeFolder) String() string { return "make the folder " + m.Path }

// Shell is mkdir(1).
func (m MakeFolder) Shell() string { return "mkdir " + kernel.Quote(m.Path) }
