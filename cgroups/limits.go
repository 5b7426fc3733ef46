// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Values are what the kernel's files of a group say now, by file name: those by which [Group.Change] decides. See
// [Group.Values].
type Values map[string]string

// Limits returns the calls that give a group that was just made the limits of linux.resources (OCI config-linux.md),
// all but the device rules. A value that the kernel would not take, a controller that no hierarchy has, and a limit
// that the group's version does not know are errors. As in the update files of runc, a limit of 0 where the kernel has
// no use for it (memory.limit, cpu.shares …) is one that is not set.
func (g Group) Limits(r *specs.LinuxResources) ([]kernel.Call, error) {
	return (&planner{group: g, fresh: true}).plan(r)
}

// Change returns the calls that set the limits of a group with processes whose files say now. Limits that r does not
// name stay. Some limits hold each other: memory may not be above memory and swap, the quota's share of the period not
// above that of the group above, so it depends on their present values which is written first.
func (g Group) Change(r *specs.LinuxResources, now Values) ([]kernel.Call, error) {
	return (&planner{group: g, now: now}).plan(r)
}

// planner collects the calls that set limits.
type planner struct {
	group Group
	// now is what the files say, where the group is not fresh.
	now   Values
	fresh bool
	calls []kernel.Call
}

// plan goes through the resources. What unified says comes last: it is the most exact.
func (p *planner) plan(r *specs.LinuxResources) ([]kernel.Call, error) {
	if r == nil {
		return nil, nil
	}
	for _, part := range []func(*specs.LinuxResources) error{
		p.cpuset, p.cpu, p.memory, p.pids, p.blockIO, p.hugetlb, p.network, p.rdma, p.unified,
	} {
		if err := part(r); err != nil {
			return nil, err
		}
	}
	return p.calls, nil
}

// write adds a call that writes into a file that every kernel with the controller has.
func (p *planner) write(f Folder, file, data, why string) {
	p.add(why, kernel.WriteFile{Path: f.File(file), Data: data})
}

// optional adds a call that writes into a file that not every kernel has, and says what it means if this one has not.
func (p *planner) optional(f Folder, file, data, why, missing string) {
	p.add(why, either{[]kernel.WriteFile{{Path: f.File(file), Data: data}}, missing})
}

// add adds a call.
func (p *planner) add(why string, r kernel.Request) {
	p.calls = append(p.calls, kernel.Call{Request: r, Why: why})
}

// folder returns the folder with a controller, which a field of linux.resources needs.
func (p *planner) folder(field, controller string) (Folder, error) {
	f, ok := p.group.Folder(controller)
	if ok {
		return f, nil
	}
	advice := "leave it out, or have the controller mounted (cgroups(7))"
	if strings.HasPrefix(controller, "net_") {
		advice = "leave it out, version 2 never has it; or have it mounted as version 1 (cgroups(7))"
	}
	return Folder{}, fmt.Errorf("linux.resources.%s: no %s controller on this machine (its hierarchies: %s): %s",
		field, controller, p.group.hierarchies(), advice)
}

// hierarchies lists the hierarchies with their controllers.
func (g Group) hierarchies() string {
	var list []string
	for _, f := range g.Folders {
		list = append(list, fmt.Sprintf("v%d with %s", f.Version, strings.Join(f.Controllers, ",")))
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, "; ")
}

// refuse is the error for a value of a field that is not fit for a file.
func refuse(field string, value any, file, why string) error {
	return fmt.Errorf("linux.resources.%s: %v for %s: %s", field, value, file, why)
}

// number returns the number in a file; "max" is -1, and so is what version 1 shows for no limit.
func (v Values) number(file string) (int64, bool) {
	text, _, _ := strings.Cut(v[file], " ")
	n, err := strconv.ParseInt(text, 10, 64)
	if text == "max" || n >= unlimited {
		return -1, true
	}
	return n, err == nil
}

// unlimited is less than what version 1 shows as no limit: the greatest number of bytes that is a whole number of pages,
// which differ in size.
const unlimited = 1 << 62

// or is the number in a file, or a default.
func (v Values) or(file string, otherwise int64) int64 {
	if n, ok := v.number(file); ok {
		return n
	}
	return otherwise
}

// amount writes a limit as a version does: -1 is "max" in version 2.
func amount(version int, n int64) string {
	if version == 2 && n == -1 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

// set tells whether a number is given, and not as 0.
func set[N int64 | uint64 | uint16](n *N) bool { return n != nil && *n != 0 }
