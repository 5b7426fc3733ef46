// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
)

// recover finds out what there is to remove of a container whose state can't be read. Unknown is why its configuration
// can't be read either, nil if it can.
func (i *Instance) recover(b *Bundle, unknown error, o Options) error {
	if unknown == nil {
		if s := b.Spec; s.Linux != nil && s.Root != nil && !slices.ContainsFunc(s.Linux.Namespaces, isMount) {
			o.notify(fmt.Sprintf("container %s has no mount namespace: if %s, its root folder, is mounted over itself twice, unmount it twice", i.ID, b.Spec.Root.Path))
		}
		return i.recoverGroup(b.Spec)
	}
	_, begun, err := i.life()
	if begun || err != nil || !errors.Is(unknown, os.ErrNotExist) { // else nothing was made of it yet
		o.notify(fmt.Sprintf("container %s: %v: if it had a cgroup, that is not known any more, and stays with all that runs in it", i.ID, unknown))
	}
	return nil
}

// isMount tells whether a namespace is one of mounts.
func isMount(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace }

// recoverGroup finds the cgroup of a container whose state can't be read, by the configuration that is kept and the id: what
// is removed with it, and who is killed. Of the folders only the container's own are taken for its.
func (i *Instance) recoverGroup(s *specs.Spec) error {
	layout, err := cgroups.Read()
	if err != nil {
		return err
	}
	root, name := cgroups.Root(), ""
	if s.Linux != nil {
		name = s.Linux.CgroupsPath
	}
	if name == "" && !root {
		name = i.ID
	}
	if i.Cgroup, err = layout.Group(name, i.ID); err != nil {
		return fmt.Errorf("%s: linux.cgroupsPath: %w", i.path(configFile), err)
	}
	if strings.Count(name, ":") == 2 && !exists(i.Cgroup) { // --systemd-cgroup has slice:prefix:name
		if i.Unit, err = cgroups.ParseUnit(name, i.ID, !root); err != nil {
			return err
		}
		home, err := i.Unit.Home()
		if err != nil {
			return err
		}
		if i.Cgroup, err = layout.UnitGroup(i.Unit, home); err != nil {
			return err
		}
	}
	i.Cgroup.Folders = slices.Clone(i.Cgroup.Folders)
	for n, f := range i.Cgroup.Folders {
		i.Cgroup.Folders[n].New = []string{f.Path}
	}
	return nil
}

// exists tells whether any folder of a group is there.
func exists(g cgroups.Group) bool {
	return slices.ContainsFunc(g.Folders, func(f cgroups.Folder) bool { return unix.Access(f.Path, unix.F_OK) == nil })
}

// checkGroup refuses a group that was read from a file and is no cgroup: whatever runs in its folders is killed in the end, and
// the folders are removed.
func checkGroup(g cgroups.Group) error {
	for _, f := range g.Folders {
		for _, dir := range append([]string{f.Path}, f.New...) {
			if dir != path.Clean(dir) || f.Top == "" || !strings.HasPrefix(dir, f.Top+"/") {
				return fmt.Errorf("cgroup: %q does not lie below the top %q of a hierarchy", dir, f.Top)
			}
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(f.Top, &fs); err != nil {
			return fmt.Errorf("cgroup: look at the file system of %s: %w", f.Top, err)
		}
		if fs.Type != unix.CGROUP_SUPER_MAGIC && fs.Type != unix.CGROUP2_SUPER_MAGIC {
			return fmt.Errorf("cgroup: %s is no cgroup file system", f.Top)
		}
	}
	return nil
}
