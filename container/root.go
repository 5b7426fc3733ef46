// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"path"
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

// root plans the container's root file system.
func (p *planner) root() error {
	p.add(security.Umask{}, "modes of new files and devices are taken as they are written here")
	propagation, err := p.propagation()
	if err != nil {
		return err
	}
	mounts, err := p.mounts()
	if err != nil {
		return err
	}
	labels, err := p.labelMounts(mounts)
	if err != nil {
		return err
	}
	devices, err := p.devices()
	if err != nil {
		return err
	}
	r := chroot.Root{
		Path: p.bundle.rootPath(), View: p.bundle.View, First: p.bundle.Mounts, ReadOnly: p.spec.Root.Readonly,
		Propagation: propagation, SharedParent: p.facts.SharedParent,
		Mounts: mounts, Devices: devices, BindDevices: p.bindsDevices(),
		Masked: p.spec.Linux.MaskedPaths, ReadOnlyPaths: p.spec.Linux.ReadonlyPaths,
		WorkingDir: p.spec.Process.Cwd, NoDevices: p.ownDev() && !p.allDevices() && !p.guarded(), Late: slices.Concat(labels, p.terminal(), p.createHooks()),
	}
	if p.bindsDev() {
		r.Devices = nil // the host's own /dev is lent as it is: nothing is made in it
	} else {
		r.Links = chroot.DefaultLinks(p.facts.Kcore)
	}
	if !p.own(namespaces.Mount) {
		r.Host = &p.facts.HostRoot
		cutBinds(mounts)
	}
	p.host = append(r.HostCalls(), p.host...)
	p.inside = append(p.inside, r.Calls()...)
	return nil
}

// cutBinds makes what is bound a slave of its origin, as all of a mount namespace of the container's own is: mounts that are made
// in it later, and go in the end, must not be made there and go there, too.
func cutBinds(mounts []chroot.MountPoint) {
	for i := range mounts {
		o := &mounts[i].Options
		if o.Flags&unix.MS_BIND != 0 && o.Flags&unix.MS_REMOUNT == 0 {
			o.Propagation = append([]uintptr{unix.MS_SLAVE | unix.MS_REC}, o.Propagation...)
		}
	}
}

// misspelt finds the word in the data of a bind that can't have been meant for a file system, such as a misspelt "ro", which
// must not give write access. What has a value, such as a tmpfs's mode=755, changes nothing about a bind, and others leave
// it out, too.
func misspelt(data string) string {
	for word := range strings.SplitSeq(data, ",") {
		if !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

// propagation reads linux.rootfsPropagation.
func (p *planner) propagation() (uintptr, error) {
	name := p.spec.Linux.RootfsPropagation
	known := map[string]uintptr{
		"": 0, "private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
		"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
		"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
		"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
	}
	flags, ok := known[name]
	if !ok {
		return 0, fmt.Errorf("linux.rootfsPropagation %q: one of private, shared, slave, unbindable, with or without r", name)
	}
	return flags, nil
}

// mounts turns the configuration's mounts into chroot's.
func (p *planner) mounts() ([]chroot.MountPoint, error) {
	var list []chroot.MountPoint
	for _, m := range p.spec.Mounts {
		if m.Destination == "" {
			return nil, fmt.Errorf("mounts: the destination of %s is missing", m.Type)
		}
		if m.Type == "cgroup" || m.Type == "cgroup2" && !isBind(m) {
			if p.facts.Cgroups.Kind() == cgroups.None {
				return nil, fmt.Errorf("mount on %s: no cgroup is mounted on this machine that could be shown there; take the mount out of the configuration", m.Destination)
			}
			list = append(list, p.cgroupMounts(m)...)
			continue
		}
		point := chroot.MountPoint{Type: m.Type, Source: m.Source, Target: path.Clean("/" + m.Destination), Options: chroot.ParseOptions(m.Options)}
		if err := p.idMapMount(m, &point); err != nil {
			return nil, err
		}
		if mode, found := p.facts.Modes[m.Destination]; found && m.Type == "tmpfs" && !isBind(m) && !strings.Contains(point.Options.Data, "mode=") {
			// As runc and crun have it, a tmpfs is as open as the folder that it hides.
			point.Options.Data = strings.TrimPrefix(fmt.Sprintf("%s,mode=%o", point.Options.Data, mode), ",")
		}
		if isBind(m) {
			if word := misspelt(point.Options.Data); word != "" {
				return nil, fmt.Errorf("mount on %s: unknown option %q of a bind", m.Destination, word)
			}
			point.Options.Data = "" // mount(2) ignores data where it binds
			point.Source = p.bundle.source(m)
			point.File = p.facts.IsFile[point.Source]
			if point.Options.Flags&unix.MS_BIND == 0 {
				point.Options.Flags |= unix.MS_BIND | unix.MS_REC
			}
		}
		list = append(list, point)
	}
	return list, nil
}

// idMapMount plans the id map of a mount: its own, or that of the container's user namespace (config.md, "Mounts", idmap).
func (p *planner) idMapMount(m specs.Mount, point *chroot.MountPoint) error {
	users, groups := m.UIDMappings, m.GIDMappings
	if len(users)+len(groups) > 0 {
		point.Options.IDMap = true // mappings alone ask for it
	} else if point.Options.IDMap {
		users, groups = p.spec.Linux.UIDMappings, p.spec.Linux.GIDMappings
	}
	if point.Options.IDMap && (len(users) == 0 || len(groups) == 0) {
		return fmt.Errorf("mount on %s: an id-mapped mount (idmap, ridmap) needs both uidMappings and gidMappings, or a container with maps of its own", m.Destination)
	}
	point.UIDs, point.GIDs = idRanges(users), idRanges(groups)
	return nil
}

// idRanges turns the id maps of a mount into chroot's.
func idRanges(list []specs.LinuxIDMapping) []chroot.IDRange {
	var ranges []chroot.IDRange
	for _, m := range list {
		ranges = append(ranges, chroot.IDRange{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size})
	}
	return ranges
}

// devices returns the default device nodes and the configuration's own, which win.
func (p *planner) devices() ([]chroot.Device, error) {
	kinds := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	devices := chroot.DefaultDevices()
	for _, d := range p.spec.Linux.Devices {
		kind, ok := kinds[d.Type]
		if !ok {
			return nil, fmt.Errorf("linux.devices: type %q of %s: one of c, b, u, p", d.Type, d.Path)
		}
		if d.Major < 0 || d.Minor < 0 {
			return nil, fmt.Errorf("linux.devices: negative number of %s: %d %d", d.Path, d.Major, d.Minor)
		}
		device := chroot.Device{Path: path.Clean("/" + d.Path), Mode: kind | 0o666, Major: uint32(d.Major), Minor: uint32(d.Minor)}
		if d.FileMode != nil {
			device.Mode = kind | uint32(d.FileMode.Perm())
		}
		if d.UID != nil {
			device.UID = int(*d.UID)
		}
		if d.GID != nil {
			device.GID = int(*d.GID)
		}
		devices = slices.DeleteFunc(devices, func(other chroot.Device) bool { return other.Path == device.Path })
		devices = append(devices, device)
	}
	return devices, nil
}

// bindsDevices tells whether the host's device nodes are bound, where none may be made.
func (p *planner) bindsDevices() bool { return p.own(namespaces.User) || !p.facts.Root }

// ownDev tells whether the container's /dev is a mount of its own.
func (p *planner) ownDev() bool {
	return slices.ContainsFunc(p.spec.Mounts, func(m specs.Mount) bool { return path.Clean("/"+m.Destination) == "/dev" })
}

// allDevices tells whether the device rules allow everything, as for a privileged container.
func (p *planner) allDevices() bool {
	return p.spec.Linux.Resources != nil && slices.ContainsFunc(p.spec.Linux.Resources.Devices, func(d specs.LinuxDeviceCgroup) bool {
		return d.Allow && (d.Type == "" || d.Type == "a") && d.Major == nil && d.Minor == nil
	})
}

// bindsDev tells whether the configuration binds a /dev of the host.
func (p *planner) bindsDev() bool {
	return slices.ContainsFunc(p.spec.Mounts, func(m specs.Mount) bool {
		return path.Clean("/"+m.Destination) == "/dev" && isBind(m)
	})
}

// sysctls plans linux.sysctl, for the parameters that belong to one of the container's own
// namespaces; any other would change the host.
func (p *planner) sysctls() ([]kernel.Call, error) {
	var names []string
	for name := range p.spec.Linux.Sysctl {
		names = append(names, name)
	}
	slices.Sort(names)
	var calls []kernel.Call
	for _, name := range names {
		kind, err := sysctlNamespace(name)
		if err != nil {
			return nil, fmt.Errorf("linux.sysctl: %w", err)
		}
		if !p.own(kind) {
			return nil, fmt.Errorf("linux.sysctl: %s without a %s namespace of the container's own would change the host", name, kind)
		}
		calls = append(calls, kernel.Call{
			Request: kernel.WriteFile{Path: "/proc/sys/" + sysctlPath(name), Data: p.spec.Linux.Sysctl[name]},
			Why:     "a kernel parameter of the container's own",
		})
	}
	return calls, nil
}

// sysctlPath turns a name into a path: dots and slashes change places, so that a slash in a name
// stands for a dot in a file's name, as sysctl(8) has it.
func sysctlPath(name string) string {
	if slash := strings.Index(name, "/"); slash >= 0 && slash < strings.Index(name+".", ".") {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

// sysctlNamespace returns the kind of namespace a kernel parameter belongs to.
func sysctlNamespace(name string) (namespaces.Kind, error) {
	file := sysctlPath(name)
	if path.Clean("/"+file) != "/"+file {
		return "", fmt.Errorf("%q is no name of a kernel parameter", name)
	}
	ipc := []string{
		"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced",
	}
	switch {
	case slices.Contains(ipc, file) || strings.HasPrefix(file, "fs/mqueue/"):
		return namespaces.IPC, nil
	case strings.HasPrefix(file, "net/"):
		return namespaces.Network, nil
	case file == "kernel/domainname":
		return namespaces.UTS, nil
	case file == "kernel/hostname":
		return "", fmt.Errorf("%s is set by the field hostname", name)
	}
	return "", fmt.Errorf("%s belongs to the whole machine, not to a namespace", name)
}
