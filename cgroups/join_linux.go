// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Below returns the group below this one that a name stands for: a path, in all hierarchies, or "CONTROLLERS:PATH" in
// those of the named controllers alone, as runc exec --cgroup takes it. It must be there.
func (g Group) Below(name string) (Group, error) {
	controllers, below, found := strings.Cut(name, ":")
	if !found {
		controllers, below = "", name
	}
	if slices.Contains(strings.Split(below, "/"), "..") {
		return g, fmt.Errorf("cgroup %q: the path climbs out of the container's cgroup by \"..\"", name)
	}
	joined := Group{Folders: slices.Clone(g.Folders)}
	known := map[string]bool{}
	for i, f := range joined.Folders {
		for _, c := range f.Controllers {
			known[c] = true
		}
		if controllers != "" && !slices.ContainsFunc(strings.Split(controllers, ","), f.has) {
			continue
		}
		joined.Folders[i].Path = path.Join(f.Path, below)
		if err := unix.Access(joined.Folders[i].Path, unix.F_OK); err != nil {
			return g, &os.PathError{Op: "join the cgroup", Path: joined.Folders[i].Path, Err: err}
		}
	}
	for c := range strings.SplitSeq(controllers, ",") {
		if c != "" && !known[c] {
			return g, fmt.Errorf("cgroup %q: no hierarchy has the controller %q", name, c)
		}
	}
	return joined, nil
}

// has tells whether the folder's hierarchy has a controller.
func (f Folder) has(controller string) bool { return slices.Contains(f.Controllers, controller) }

// Following returns the group with its v2 folder exchanged for the one that a process of it is in by now, where the
// group's own takes no processes any more: one that gives controllers to those below it has none itself (cgroup-v2.rst,
// "No Internal Process Constraint").
func (g Group) Following(pid int) (Group, error) {
	at := slices.IndexFunc(g.Folders, func(f Folder) bool { return f.Version == 2 })
	if at < 0 {
		return g, nil
	}
	f := g.Folders[at]
	given, err := kernel.ReadFile(f.File("cgroup.subtree_control"))
	if errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(given)) == "" {
		return g, nil
	}
	if err != nil {
		return g, err
	}
	own, err := unifiedPath(pid)
	if err != nil {
		return g, err
	}
	where := path.Join(f.Top, own)
	if !strings.HasPrefix(where, f.Path+"/") {
		return g, nil
	}
	followed := Group{Folders: slices.Clone(g.Folders)}
	followed.Folders[at].Path = where
	return followed, nil
}

// unifiedPath reads the path of a process in the v2 tree (cgroups(7)).
//
//	0::/user.slice/container
//	1 2 3
func unifiedPath(pid int) (string, error) {
	name := fmt.Sprintf("/proc/%d/cgroup", pid)
	data, err := kernel.ReadFile(name)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if own, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(own, "\n"), nil
		}
	}
	return "", fmt.Errorf("%s has no line of version 2", name)
}
