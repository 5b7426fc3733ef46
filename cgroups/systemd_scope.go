// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Names of systemd on its bus (org.freedesktop.systemd1(5)).
const (
	systemdName      = "org.freedesktop.systemd1"
	systemdPath      = "/org/freedesktop/systemd1"
	systemdInterface = systemdName + ".Manager"
)

// Scope asks systemd for a unit around the container's process, which waits until it is done. Undoing stops the unit.
type Scope struct {
	Unit Unit
	// ID is the container's, for the unit's description.
	ID string
	// Limits are what systemd is to know of the limits, so that it keeps them.
	Limits []Property
	// Asked are what the container's annotations ask for, see [AnnotatedProperties].
	Asked []Property
	// Enter are the files by which the process gets into a slice: only a scope is made with processes. It is empty
	// for a scope.
	Enter []string
}

// Scope returns the request for the unit with the cgroup g, for a container with an identifier and limits. It comes after
// the calls that make and limit those folders of g which systemd leaves to us, and before those that limit its
// own, which has no folder before.
func (u Unit) Scope(id string, g Group, r *specs.LinuxResources) (Scope, error) {
	s := Scope{Unit: u, ID: id}
	var err error
	if s.Limits, err = g.properties(r, nil); err != nil {
		return Scope{}, err
	}
	if u.slice() {
		made, _ := g.BySystemd()
		for _, f := range made.Folders {
			s.Enter = append(s.Enter, f.File("cgroup.procs"))
		}
	}
	return s, nil
}

// properties are all properties but PIDs. Accounting makes systemd give the unit its controllers; delegation makes it
// keep off the groups that the container makes below; without the default dependencies, a shutdown does not end
// the scope before the runtime's caller could.
func (s Scope) properties() []Property {
	list := []Property{{"Description", "stave container " + s.ID}}
	if s.Unit.slice() {
		list = append(list, Property{"Wants", []string{s.Unit.Slice}})
	} else {
		list = append(list, Property{"Slice", s.Unit.Slice}, Property{"Delegate", true})
	}
	for _, name := range []string{"MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"} {
		list = append(list, Property{name, true})
	}
	return slices.Concat(list, []Property{{"DefaultDependencies", false}}, s.Limits, s.Asked)
}

// String names the unit and its limits.
func (s Scope) String() string {
	var text strings.Builder
	text.WriteString(fmt.Sprintf("let systemd make %s in %s around the container's process", s.Unit.Name, s.Unit.Slice))
	asked := slices.Concat(s.Limits, s.Asked)
	if len(asked) > 0 {
		text.WriteString(", with")
	}
	for _, p := range asked {
		text.WriteString(" " + p.String())
	}
	return text.String()
}

// Shell asks with busctl(1), which does not wait for the unit, and then looks into the kernel's file until the process
// is in its cgroup.
func (s Scope) Shell() string {
	list := s.properties()
	bus := "--system"
	if s.Unit.User {
		bus = "--user"
	}
	pids, count := "", len(list)
	if !s.Unit.slice() {
		pids, count = " PIDs au 1 $pid", len(list)+1
	}
	words := []string{"busctl", "--quiet", bus, "call", systemdName, systemdPath, systemdInterface, "StartTransientUnit", "ssa(sv)a(sa(sv))", s.Unit.Name, "replace", fmt.Sprint(count)}
	for _, p := range list {
		words = append(words, p.words()...)
	}
	var text strings.Builder
	text.WriteString(kernel.Quote(words...) + pids + " 0")
	for _, file := range s.Enter {
		text.WriteString("\necho $pid > " + kernel.Quote(file))
	}
	if len(s.Enter) > 0 {
		return text.String()
	}
	return text.String() + fmt.Sprintf("\nuntil grep -q %s /proc/$pid/cgroup; do sleep 0.01; done", kernel.Quote("/"+s.Unit.Name))
}

// words are a property as busctl(1) wants it: name, type, and the value with the length before each array.
func (p Property) words() []string {
	switch v := p.Value.(type) {
	case bool:
		return []string{p.Name, "b", fmt.Sprint(v)}
	case string:
		return []string{p.Name, "s", v}
	case uint64:
		return []string{p.Name, "t", fmt.Sprint(v)}
	case []string:
		return append([]string{p.Name, "as", fmt.Sprint(len(v))}, v...)
	case []byte:
		return append([]string{p.Name, "ay", fmt.Sprint(len(v))}, strings.Fields(strings.Trim(fmt.Sprint(v), "[]"))...)
	case []AllowedDevice:
		words := []string{p.Name, "a(ss)", fmt.Sprint(len(v))}
		for _, d := range v {
			words = append(words, d.Node, d.Access)
		}
		return words
	}
	return []string{p.Name, "s", fmt.Sprint(p.Value)}
}

// Assemble adds nothing: Do speaks with systemd.
func (s Scope) Assemble(*kernel.Assembler) {}
