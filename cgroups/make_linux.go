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
// end, but for the group's own. A group that has processes already is an error. A caller who is not root keeps the folders that he
// may make, as in a delegated subtree; there may be none.
func (g Group) Look() (Group, error) {
	var seen Group
	for _, f := range g.Folders {
		f.New = slices.DeleteFunc(slices.Clone(f.New), func(dir string) bool { return unix.Access(dir, unix.F_OK) == nil })
		if !slices.Contains(f.New, f.Path) {
			procs, err := kernel.ReadFile(f.File("cgroup.procs"))
			if err != nil {
				return Group{}, err
			}
			if pids := strings.Fields(string(procs)); len(pids) > 0 {
				return Group{}, fmt.Errorf("the cgroup %s has processes already (process %s): name another one", f.Path, pids[0])
			}
		}
		if os.Geteuid() == 0 || f.mine() {
			seen.Folders = append(seen.Folders, f)
		}
	}
	return seen, nil
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

// Undo removes the folder.
func (m Make) Undo(*kernel.Host) error {
	if m.Shared {
		return removeShared(m.Path)
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
	if len(missing) == 0 || os.WriteFile(file, []byte("+"+strings.Join(missing, " +")), 0) == nil {
		return nil
	}
	for _, c := range missing {
		err := os.WriteFile(file, []byte("+"+c), 0)
		switch {
		case err == nil || !slices.Contains(d.Must, c):
		case errors.Is(err, unix.EBUSY):
			return fmt.Errorf("write \"+%s\": %w: %s holds processes itself, and such a cgroup gives nothing to those below it (cgroups(7)): name a cgroupsPath beside it", c, err, d.Path)
		case errors.Is(err, unix.ENOENT):
			return fmt.Errorf("write \"+%s\": %w: %s does not have this controller: let the cgroup above it give it away (with systemd: Delegate=yes)", c, err, d.Path)
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
		if err := os.WriteFile(i.Path+name, above, 0); err != nil {
			return err
		}
	}
	return nil
}
