// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Group is a cgroup: one folder in every hierarchy.
type Group struct {
	Folders []Folder
}

// Folder is a group's folder in one hierarchy.
type Folder struct {
	// Version and Controllers are the hierarchy's.
	Version     int
	Controllers []string
	// Top is the hierarchy's mount point: folders above it are not ours to make.
	Top string
	// Sole says that the machine has no other hierarchy: version 2 and nothing else.
	Sole bool
	// Path is the folder, an absolute path below Top.
	Path string
	// New are the folders that are to be made, from the top down; Path is the last of them unless it is there already.
	// [Group.Remove] removes them again.
	New []string
}

// Group returns the cgroup of a container with a cgroupsPath (OCI config-linux.md): an absolute path starts at each
// hierarchy's mount point, a relative one beside this process's own cgroup in version 2, where a cgroup with
// processes gives no controllers to those below it, and inside it in version 1. An empty one means the identifier as an
// absolute path. A path that climbs out by ".." is an error, and so is the top itself.
func (l Layout) Group(cgroupsPath, id string) (Group, error) {
	if cgroupsPath == "" {
		cgroupsPath = "/" + id
	}
	for part := range strings.SplitSeq(cgroupsPath, "/") {
		if part == ".." {
			return Group{}, fmt.Errorf("%q climbs out of where it starts by \"..\": give the path of a cgroup, like /stave/%s", cgroupsPath, id)
		}
	}
	if path.Clean("/"+cgroupsPath) == "/" {
		return Group{}, fmt.Errorf("%q is the top of the hierarchies itself, which holds the whole machine: give the path of a cgroup, like /stave/%s", cgroupsPath, id)
	}
	if strings.ContainsAny(cgroupsPath, "\n\x00") {
		return Group{}, fmt.Errorf("%q: the name of a cgroup has no line breaks and no NUL", cgroupsPath)
	}
	var g Group
	for _, h := range l.Hierarchies {
		start := "/"
		if !path.IsAbs(cgroupsPath) {
			if start = h.Own; h.Version == 2 {
				start = path.Dir(h.Own)
			}
		}
		f := Folder{Version: h.Version, Controllers: h.Controllers, Top: h.Mount, Sole: l.Kind() == V2, Path: path.Join(h.Mount, start, cgroupsPath)}
		for dir, above := f.Path, path.Join(h.Mount, start); dir != above; dir = path.Dir(dir) {
			f.New = slices.Insert(f.New, 0, dir)
		}
		g.Folders = append(g.Folders, f)
	}
	return g, nil
}

// Folder returns the folder whose hierarchy has a controller, by its name in version 1 or 2: blkio and io are one. What
// version 1 has as the controllers freezer, devices, cpuacct and perf_event is part of every v2 tree.
func (g Group) Folder(controller string) (Folder, bool) {
	for _, f := range g.Folders {
		if slices.Contains(f.Controllers, controller) || slices.Contains(f.Controllers, otherName(controller)) {
			return f, true
		}
	}
	if slices.Contains([]string{"freezer", "devices", "cpuacct", "perf_event"}, controller) {
		return g.Unified()
	}
	return Folder{}, false
}

// otherName is the name of a controller in the other version.
func otherName(controller string) string {
	switch controller {
	case "io":
		return "blkio"
	case "blkio":
		return "io"
	}
	return controller
}

// Unified returns the folder in the v2 tree.
func (g Group) Unified() (Folder, bool) {
	for _, f := range g.Folders {
		if f.Version == 2 {
			return f, true
		}
	}
	return Folder{}, false
}

// File returns the path of a file of the folder.
func (f Folder) File(name string) string { return f.Path + "/" + name }
