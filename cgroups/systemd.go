// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Unit is a unit of systemd whose cgroup is a container's: a scope, made for processes that systemd did not start
// (systemd.scope(5)), or a slice, which divides the tree (systemd.slice(5)).
type Unit struct {
	// Name is the unit's name with its ending, ".scope" or ".slice".
	Name string
	// Slice is the slice it lies in; "-.slice" is the topmost.
	Slice string
	// User tells whether the user's own systemd makes it, and not the machine's.
	User bool
}

// unitCharacters are the characters of a unit's name (systemd.unit(5)).
const unitCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

// ParseUnit reads a cgroupsPath of the form slice:prefix:name, as runc takes it (its docs/systemd.md). The unit is the
// scope prefix-name.scope, or name itself if that ends in ".slice". An empty slice means system.slice, or user.slice
// of the user's own systemd (rootless); "-" means the topmost. An empty cgroupsPath means :stave:id.
func ParseUnit(cgroupsPath, id string, rootless bool) (Unit, error) {
	if cgroupsPath == "" {
		cgroupsPath = ":stave:" + id
	}
	wrong := func(format string, args ...any) (Unit, error) {
		return Unit{}, fmt.Errorf("the cgroupsPath %q is not slice:prefix:name, as systemd needs it: %s", cgroupsPath, fmt.Sprintf(format, args...))
	}
	parts := strings.Split(cgroupsPath, ":")
	if len(parts) != 3 {
		return wrong("it has %d parts, not 3; for a path, leave out --systemd-cgroup", len(parts))
	}
	if parts[2] == "" {
		return wrong("the name is empty")
	}
	u := Unit{Name: parts[1] + "-" + parts[2] + ".scope", Slice: parts[0], User: rootless}
	switch {
	case strings.HasSuffix(parts[2], ".slice"):
		u.Name = parts[2]
		if u.Slice == "" {
			u.Slice = above(u.Name)
		}
	case u.Slice == "" && rootless:
		u.Slice = "user.slice"
	case u.Slice == "":
		u.Slice = "system.slice"
	}
	if u.Slice == "-" {
		u.Slice = topSlice
	}
	if _, err := u.path(); err != nil {
		return wrong("%v", err)
	}
	return u, nil
}

// slice tells whether the unit is a slice itself.
func (u Unit) slice() bool { return strings.HasSuffix(u.Name, ".slice") }

// path is the unit's cgroup below that of its systemd. The name of a slice says where it lies.
func (u Unit) path() (string, error) {
	if err := checkName(u.Name); err != nil {
		return "", err
	}
	slice, err := expand(u.Slice)
	if err != nil || !u.slice() {
		return path.Join(slice, u.Name), err
	}
	own, err := expand(u.Name)
	switch {
	case err != nil:
		return "", err
	case own == "/":
		return "", errors.New("the topmost slice is the whole machine")
	case path.Dir(own) != slice:
		return "", fmt.Errorf("%s lies in %s by its name, not in %s", u.Name, above(u.Name), u.Slice)
	}
	return own, nil
}

// checkName refuses what can't be a unit's name.
func checkName(name string) error {
	if len(name) > 255 {
		return fmt.Errorf("%s has %d characters, a unit at most 255", name, len(name))
	}
	if i := strings.IndexFunc(name, func(c rune) bool { return !strings.ContainsRune(unitCharacters, c) }); i >= 0 {
		return fmt.Errorf("%s: a unit has no %q in its name", name, []rune(name[i:])[0])
	}
	return nil
}

// topSlice is the slice that holds all others.
const topSlice = "-.slice"

// expand returns the path of a slice, whose name is that path with dashes: a-b.slice lies in a.slice/a-b.slice
// (systemd.slice(5)).
func expand(slice string) (string, error) {
	if slice == topSlice {
		return "/", nil
	}
	if err := checkName(slice); err != nil {
		return "", err
	}
	base, ok := strings.CutSuffix(slice, ".slice")
	parts := strings.Split(base, "-")
	if !ok || slices.Contains(parts, "") {
		return "", fmt.Errorf("%q is no slice: one is called like machine.slice or machine-a.slice", slice)
	}
	where := "/"
	for i := range parts {
		where = path.Join(where, strings.Join(parts[:i+1], "-")+".slice")
	}
	return where, nil
}

// above is the slice in which a slice lies.
func above(slice string) string {
	base := strings.TrimSuffix(slice, ".slice")
	if i := strings.LastIndex(base, "-"); i > 0 {
		return base[:i] + ".slice"
	}
	return topSlice
}

// UnitGroup returns the cgroup of a unit, which has the same path in every hierarchy. home is the unit's [Unit.Home].
func (l Layout) UnitGroup(u Unit, home string) (Group, error) {
	below, err := u.path()
	if err != nil {
		return Group{}, err
	}
	if u.User && l.Kind() != V2 {
		return Group{}, fmt.Errorf("the cgroups here are %s, and a user's systemd has cgroups of version 2 only: leave out --systemd-cgroup, or boot with systemd.unified_cgroup_hierarchy=1", l.Kind())
	}
	g, err := l.Group(path.Join("/", home, below), "")
	if err != nil {
		return Group{}, err
	}
	made := 0
	for i := range g.Folders {
		if g.Folders[i].bySystemd() {
			g.Folders[i].New = nil
			made++
		}
	}
	if made == 0 {
		return Group{}, errors.New("systemd has no hierarchy here, neither cgroup2 nor name=systemd is mounted: leave out --systemd-cgroup")
	}
	return g, nil
}

// BySystemd divides the cgroup of a unit. made are the folders that systemd makes and removes, and into which it moves
// the process: in pure version 2 that is all there is. others are in the hierarchies of version 1 with
// controllers, some of which systemd does not know or use: they are ours to make, limit and enter as without it, and to
// make before the unit is started.
func (g Group) BySystemd() (made, others Group) {
	for _, f := range g.Folders {
		if f.bySystemd() {
			made.Folders = append(made.Folders, f)
		} else {
			others.Folders = append(others.Folders, f)
		}
	}
	return made, others
}

// bySystemd tells whether systemd keeps its processes apart in this hierarchy.
func (f Folder) bySystemd() bool {
	return f.Version == 2 || slices.Contains(f.Controllers, "name=systemd")
}
