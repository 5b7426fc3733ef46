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

// Look compares the group with the machine: folders that are there already are not to be made, nor removed at the
// end, but for the group's own. A group with processes, in it or below it, or with groups below it, is somebody else's,
// and an error. A caller who is not root of the machine keeps the folders that he may make, as in a delegated subtree;
// there may be none.
func (g Group) Look() (Group, error) {
	var seen Group
	root := Root()
	for _, f := range g.Folders {
		f.New = slices.DeleteFunc(slices.Clone(f.New), func(dir string) bool { return unix.Access(dir, unix.F_OK) == nil })
		if !slices.Contains(f.New, f.Path) {
			if err := f.checkFree(); err != nil {
				return Group{}, err
			}
		}
		if root || f.mine() {
			seen.Folders = append(seen.Folders, f)
		}
	}
	return seen, nil
}

// Root tells whether the caller is root of the machine: user 0 of the first user namespace, in which every number of a
// user stands for itself (user_namespaces(7)):
//
//	0          0 4294967295
func Root() bool {
	text, err := kernel.ReadFile("/proc/self/uid_map")
	return os.Geteuid() == 0 && err == nil && strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295"
}

// checkFree refuses a folder that somebody uses.
func (f Folder) checkFree() error {
	tree, err := f.tree()
	if err != nil {
		return err
	}
	pids, err := (Group{Folders: []Folder{f}}).pids()
	switch {
	case err != nil:
		return err
	case len(pids) > 0:
		return fmt.Errorf("the cgroup %s has processes already (process %d): name another one", f.Path, pids[0])
	case len(tree) > 1:
		return fmt.Errorf("the cgroup %s has groups below it already (%s): name another one, or one in it", f.Path, tree[1].Path)
	}
	return nil
}

// mine tells whether the caller, not being root, may make the folder and move processes into it: the folder above it
// is delegated to him (cgroups(7), "Delegation").
func (f Folder) mine() bool {
	above := path.Dir(f.Path)
	if len(f.New) > 0 {
		above = path.Dir(f.New[0])
	}
	return f.Version == 2 && unix.Access(above, unix.W_OK) == nil && unix.Access(above+"/cgroup.procs", unix.W_OK) == nil
}

// Undo removes the folder, unless it is shared: see [Group.RemoveAbove].
func (m Make) Undo(*kernel.Host) error {
	if m.Shared {
		return nil
	}
	return removePatiently(m.Path)
}

// Do writes those controllers that are not given yet: all at once, and where that fails one by one, to find out which
// one it is.
func (d Delegate) Do(*kernel.Host) error {
	file := d.Path + "/cgroup.subtree_control"
	now, err := kernel.ReadFile(file)
	if err != nil {
		return err
	}
	given := strings.Fields(string(now))
	missing := slices.DeleteFunc(slices.Clone(d.Controllers), func(c string) bool { return slices.Contains(given, c) })
	if len(missing) == 0 || kernel.Store(file, "+"+strings.Join(missing, " +")) == nil {
		return nil
	}
	for _, c := range missing {
		err := kernel.Store(file, "+"+c)
		switch {
		case err == nil || !slices.Contains(d.Must, c):
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("write \"+%s\": %w: %s holds processes itself, and such a cgroup gives nothing to those below it (cgroups(7)): name a cgroupsPath beside it", c, err, d.Path)
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf("write \"+%s\": %w: %s does not have this controller: let the cgroup above it give it away (with systemd: Delegate=yes)", c, err, d.Path)
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			return fmt.Errorf("write \"+%s\": %w: %s belongs to somebody else, who has not given this controller away: have it delegated (with systemd: Delegate=yes)", c, err, d.Path)
		case errors.Is(err, unix.EROFS):
			return fmt.Errorf("write \"+%s\": %w: the cgroup file system is mounted read-only here", c, err)
		default:
			return fmt.Errorf("write \"+%s\": %w", c, err)
		}
	}
	return nil
}

// Do copies what the new folder lacks. Another container may fill in the same folder at the same time: with the
// same values.
func (i Inherit) Do(*kernel.Host) error {
	for _, name := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		now, err := kernel.ReadFile(i.Path + name)
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(now)) != "" {
			continue
		}
		above, err := kernel.ReadFile(path.Dir(i.Path) + name)
		if err != nil {
			return err
		}
		if err := kernel.Store(i.Path+name, string(above)); err != nil {
			return err
		}
	}
	return nil
}
