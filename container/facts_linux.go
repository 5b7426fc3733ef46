// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// ReadFacts looks at the machine for what the plan of this bundle needs. It fails when the root
// folder or a bind source is not there.
func ReadFacts(b *Bundle, o Options) (Facts, error) {
	f := Facts{UID: os.Geteuid(), Root: cgroups.Root(), IsFile: map[string]bool{}, Modes: map[string]uint32{}}
	info, err := os.Stat(b.rootPath())
	if err != nil {
		return f, fmt.Errorf("root.path: %w", err)
	}
	if !info.IsDir() {
		return f, fmt.Errorf("root.path: %s is not a folder", b.rootPath())
	}
	if b.rootPath() == "/" {
		return f, fmt.Errorf("root.path: / is the root of the machine itself; pivot_root needs another folder")
	}
	if f.Security, err = security.ReadFacts(); err != nil {
		return f, err
	}
	if err := f.lookAtCgroups(b.Spec, o); err != nil {
		return f, err
	}
	if f.Resctrl, err = readResctrl(b.Spec.Linux.IntelRdt, o.ID); err != nil {
		return f, err
	}
	f.RdtLeft = rdtLeft(b.Spec.Linux.IntelRdt, f.Resctrl, o.ID)
	f.Ours = shared(b.Spec.Linux.Namespaces)
	if err := f.lookAtRoot(b); err != nil {
		return f, err
	}
	for _, m := range b.Spec.Mounts {
		if err := f.lookAt(b, m); err != nil {
			return f, err
		}
	}
	f.Kcore = unix.Access("/proc/kcore", unix.F_OK) == nil
	f.OwnStdio = pipes()
	f.Home = b.home()
	f.Security.SetgroupsDenied = deniesGroups(b.Spec.Linux.Namespaces, f.Security.SetgroupsDenied)
	if needsMaps(b.Spec) && f.UID != 0 {
		f.HasHelpers = hasHelper("newuidmap") && hasHelper("newgidmap")
	}
	// Of the others, those that begin with r reach the mount that the root folder lies in.
	name := b.Spec.Linux.RootfsPropagation
	hinders := strings.Contains(name, "shared") || strings.Contains(name, "unbindable")
	if name != "" && (name[0] != 'r' || hinders) {
		f.SharedParent, err = sharedParent(b.rootPath(), hinders)
		if f.SharedParent == "/" && !hinders {
			f.SharedParent = "" // the mount of "/" itself is what these values do change
		}
	}
	return f, err
}

// deniesGroups tells whether the container's user namespace forbids setgroups(2) (user_namespaces(7)). Of one of another
// process, which the container joins, only that process's own file says so, beside which the namespace's is; otherwise it
// is the caller's, or begins as that.
func deniesGroups(list []specs.LinuxNamespace, own bool) bool {
	for _, n := range list {
		if n.Type == specs.UserNamespace && n.Path != "" {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(n.Path), "../setgroups"))
			return err == nil && strings.TrimSpace(string(text)) == "deny"
		}
	}
	return own
}

// shared compares the files of namespaces that are joined with the caller's own: the same device and
// inode is the same namespace (namespaces(7)). A file that can't be looked at fails when it is joined.
func shared(list []specs.LinuxNamespace) map[string]bool {
	same := map[string]bool{}
	for _, n := range list {
		kind, err := namespaces.KindOf(string(n.Type))
		if n.Path == "" || err != nil {
			continue
		}
		theirs, err1 := os.Stat(n.Path)
		own, err2 := os.Stat("/proc/self/ns/" + string(kind))
		same[n.Path] = err1 == nil && err2 == nil && os.SameFile(theirs, own)
	}
	return same
}

// lookAtCgroups finds the hierarchies and the container's place in them. Without a cgroupsPath that is its id: at the
// top, or beside the caller's own cgroup for a caller who is not root.
func (f *Facts) lookAtCgroups(s *specs.Spec, o Options) (err error) {
	f.Born = true
	if o.Cgroups != "" {
		f.Cgroups = cgroups.Sample(o.Cgroups)
	} else if f.Cgroups, err = cgroups.Read(); err != nil {
		return err
	}
	if o.Systemd {
		return f.lookAtUnit(s, o)
	}
	name := s.Linux.CgroupsPath
	if name == "" && !f.Root {
		name = o.ID
	}
	if f.Group, err = f.Cgroups.Group(name, o.ID); err != nil {
		return fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	if o.Cgroups != "" {
		return nil
	}
	if f.Group, err = f.Group.Look(); err != nil {
		return fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	if _, ok := f.Group.Unified(); ok {
		f.Born = kernel.ClonesIntoCgroups()
	}
	return nil
}

// lookAtUnit finds the place that systemd has for the container's unit.
func (f *Facts) lookAtUnit(s *specs.Spec, o Options) (err error) {
	if f.Unit, err = cgroups.ParseUnit(s.Linux.CgroupsPath, o.ID, !f.Root); err != nil {
		return err
	}
	home, err := f.Unit.Home()
	if err != nil {
		return err
	}
	g, err := f.Cgroups.UnitGroup(f.Unit, home)
	if err != nil {
		return err
	}
	made, others := g.BySystemd()
	if others, err = others.Look(); err != nil {
		return fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	f.Group = cgroups.Group{Folders: slices.Concat(others.Folders, made.Folders)}
	return nil
}

// lookAtRoot looks at what is mounted on the root folder of a container that has no mount namespace of its own.
func (f *Facts) lookAtRoot(b *Bundle) error {
	if hasOwnMounts(b.Spec, f.Ours) {
		return nil
	}
	if len(b.Mounts) > 0 {
		return errors.New("linux.namespaces: a root file system that is mounted for the container alone needs a mount namespace of its own")
	}
	folder, err := filepath.EvalSymlinks(b.rootPath())
	if err != nil {
		return fmt.Errorf("root.path: %w", err)
	}
	if folder == "/" {
		return fmt.Errorf("root.path: %s is the root of the machine itself, over which nothing is mounted; give another folder", b.rootPath())
	}
	if f.HostRoot, err = chroot.FindHostRoot(folder); err != nil {
		return fmt.Errorf("root.path: %w", err)
	}
	return nil
}

// hasOwnMounts tells whether a container has a mount namespace of its own.
func hasOwnMounts(s *specs.Spec, ours map[string]bool) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.MountNamespace && !ours[n.Path]
	})
}

// leave ends what is left in the container's cgroup and removes it, but not what lies above; and its mounts on the host.
func (f Facts) leave() error {
	if f.Unit.Name == "" {
		return errors.Join(f.Group.RemoveOwn(), removeRdt(f.RdtLeft), f.HostRoot.Detach())
	}
	return errors.Join(f.Unit.Stop(), f.ours().RemoveOwn(), removeRdt(f.RdtLeft), f.HostRoot.Detach())
}

// ours is the part of the group that is not systemd's.
func (f Facts) ours() cgroups.Group {
	if f.Unit.Name == "" {
		return f.Group
	}
	_, others := f.Group.BySystemd()
	return others
}

// lookAt notes what is needed about one mount.
func (f *Facts) lookAt(b *Bundle, m specs.Mount) error {
	switch {
	case isBind(m):
		source := b.source(m)
		info, err := os.Stat(source)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("mount on %s: the source %s is not there", m.Destination, source)
		}
		if err != nil {
			return fmt.Errorf("mount on %s: %w", m.Destination, err)
		}
		f.IsFile[source] = !info.IsDir()
	case m.Type == "tmpfs":
		if mode, found := modeInside(b.viewPath(), m.Destination); found {
			f.Modes[m.Destination] = mode
		}
	}
	return nil
}

// source returns the absolute path of a bind's source.
func (b *Bundle) source(m specs.Mount) string {
	if filepath.IsAbs(m.Source) {
		return m.Source
	}
	return filepath.Join(b.Dir, m.Source)
}

// isBind tells whether a mount is a bind: by its options, as the type of a bind is ignored.
func isBind(m specs.Mount) bool {
	return slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind") || m.Type == "bind"
}

// needsMaps tells whether the configuration has a new user namespace.
func needsMaps(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.UserNamespace && n.Path == ""
	})
}

// hasHelper tells whether a program is on PATH.
func hasHelper(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// pipes returns those of the descriptors 0, 1, 2 that are pipes or sockets: these alone are given to
// the container's user, never a device of the host.
func pipes() []int {
	var list []int
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue
		}
		if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFIFO || kind == unix.S_IFSOCK {
			list = append(list, fd)
		}
	}
	return list
}

// sharedParent returns the mount point a folder lies in, if that mount is shared.
//
//	29 24 254:0 / /mnt rw,relatime shared:12 - ext4 /dev/vda rw
//	              5                7
func sharedParent(folder string, always bool) (string, error) {
	data, err := kernel.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	best, shared := "", false
	for line := range strings.Lines(string(data)) {
		before, _, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 6 {
			continue
		}
		point := fields[4]
		if strings.Contains(point, `\`) {
			point = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(point)
		}
		inside := point == "/" || folder == point || strings.HasPrefix(folder, point+"/")
		if inside && len(point) >= len(best) {
			best, shared = point, strings.Contains(strings.Join(fields[6:], " "), "shared:")
		}
	}
	if !shared && !always {
		return "", nil
	}
	return best, nil
}
