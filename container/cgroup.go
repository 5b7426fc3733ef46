// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
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
)

// cgroup plans the group that limits the container: made and limited before the process exists, entered before the
// process does anything else.
func (p *planner) cgroup() error {
	resources := p.spec.Linux.Resources
	if len(p.facts.Group.Folders) == 0 {
		return p.ungrouped(resources)
	}
	if p.facts.Unit.Name != "" {
		return p.unit(resources)
	}
	var err error
	if p.grouping, err = p.facts.Group.Create(resources); err != nil {
		return err
	}
	p.grouping = p.allowed(p.grouping)
	slot, open, enter := p.facts.Group.Enter(p.facts.Born)
	p.born, p.entering = slot, enter
	p.host = slices.Concat(p.host, p.grouping, open)
	p.inside = append(p.inside, enter...)
	return nil
}

// allowed leaves out the program for devices where the caller is not root: he may not attach one, and without rights to
// devices of the host there is nothing that their rules would change.
func (p *planner) allowed(calls []kernel.Call) []kernel.Call {
	return slices.DeleteFunc(calls, func(c kernel.Call) bool {
		_, program := c.Request.(cgroups.DeviceProgram)
		return program && !p.facts.Root
	})
}

// unit plans a group that systemd makes: around the process, which waits for it.
func (p *planner) unit(r *specs.LinuxResources) error {
	const point = "the unit of systemd"
	before, after, err := p.facts.Group.CreateIn(p.facts.Unit, p.options.ID, r)
	if err != nil {
		return err
	}
	asked, err := cgroups.AnnotatedProperties(p.spec.Annotations)
	if err != nil {
		return err
	}
	for i, c := range after {
		if s, ok := c.Request.(cgroups.Scope); ok {
			s.Asked = asked
			after[i].Request = s
		}
	}
	before, after = p.allowed(before), p.allowed(after)
	_, others := p.facts.Group.BySystemd()
	_, _, enter := others.Enter(false)
	p.host = append(p.host, before...)
	p.cloned = slices.Concat(
		[]kernel.Call{{Request: kernel.Await{Point: point}, Why: "a unit is made around a process, which does nothing yet"}},
		after,
		[]kernel.Call{{Request: kernel.Release{Point: point}, Why: "the process is in its cgroup, with all limits"}})
	p.add(kernel.Wait{Point: point}, "nothing is done before the limits hold")
	p.inside = append(p.inside, enter...)
	return nil
}

// ungrouped refuses limits on a machine, or to a user, without a cgroup to set them in.
func (p *planner) ungrouped(r *specs.LinuxResources) error {
	asked := hasLimits(r) || p.spec.Linux.CgroupsPath != "" && p.facts.Root
	switch {
	case !asked && (!p.facts.Root || r == nil || len(r.Devices) == 0 || p.own(namespaces.User)):
		return nil // without rights to devices of the host there is nothing that their rules would change
	case p.facts.Cgroups.Kind() == cgroups.None:
		return errors.New("linux.resources: no cgroup file system is mounted on this machine, so nothing can be limited: mount one (mount -t cgroup2 none /sys/fs/cgroup), or take the limits out of the configuration")
	}
	return fmt.Errorf("linux.resources: user %d has no cgroup to set limits in: none of version 2 is delegated to him (with systemd: systemd-run --user --scope -p Delegate=yes COMMAND); run as root, or take the limits out of the configuration", p.facts.UID)
}

// hasLimits tells whether resources ask for more than device rules.
func hasLimits(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil || len(r.HugepageLimits) > 0 ||
		r.Network != nil || len(r.Rdma) > 0 || len(r.Unified) > 0
}

// guarded tells whether the group enforces device rules.
func (p *planner) guarded() bool {
	_, ok := p.facts.Group.Folder("devices")
	return ok && p.facts.Root
}

// cgroupMounts shows the container its cgroups: the one tree of v2, or with v1 a tmpfs that has a
// folder for each hierarchy. With a cgroup namespace the kernel shows the right part of a hierarchy;
// without one that part is bound.
func (p *planner) cgroupMounts(m specs.Mount) []chroot.MountPoint {
	options := chroot.ParseOptions(m.Options)
	target := path.Clean("/" + m.Destination)
	hierarchies := p.facts.Cgroups.Hierarchies
	if p.facts.Cgroups.Kind() == cgroups.V2 {
		tree := p.cgroupMount("cgroup2", hierarchies[0], target, options)
		if tree.Type == "cgroup2" && m.Source != "" {
			tree.Source = m.Source // only a name, for mountinfo
		}
		return []chroot.MountPoint{tree}
	}
	inside := options
	inside.Flags &^= unix.MS_RDONLY
	list := []chroot.MountPoint{{
		Type: "tmpfs", Source: "tmpfs", Target: target, Why: "a folder for each cgroup v1 hierarchy",
		Options: chroot.Options{Flags: inside.Flags | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, Data: "mode=755"},
		Links:   combinedLinks(hierarchies, target),
	}}
	for _, h := range hierarchies {
		if h.Version == 1 {
			list = append(list, p.cgroupMount("cgroup", h, path.Join(target, path.Base(h.Mount)), options))
		}
	}
	if options.Flags&unix.MS_RDONLY != 0 { // only now: the hierarchies' folders had to be made in it
		list = append(list, chroot.MountPoint{Target: target, Options: chroot.Options{Flags: unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY}})
	}
	return list
}

// combinedLinks are links such as cpu to cpu,cpuacct: where one hierarchy has several controllers, programs look for each
// by its own name.
func combinedLinks(hierarchies []cgroups.Hierarchy, target string) []chroot.Symlink {
	var links []chroot.Symlink
	for _, h := range hierarchies {
		base := path.Base(h.Mount)
		if h.Version != 1 || !strings.Contains(base, ",") {
			continue
		}
		for name := range strings.SplitSeq(base, ",") {
			links = append(links, chroot.Symlink{Target: base, Path: path.Join(target, name)})
		}
	}
	return links
}

// cgroupMount plans the mount of one hierarchy.
func (p *planner) cgroupMount(kind string, h cgroups.Hierarchy, target string, options chroot.Options) chroot.MountPoint {
	const why = "the container sees its own limits"
	source, grouped := path.Join(h.Mount, h.Own), false
	for _, f := range p.facts.Group.Folders {
		if f.Top == h.Mount {
			source, grouped = f.Path, true
		}
	}
	// The kernel does not mount a tree over the same part of itself, which is there where /sys is a bind of the host's.
	same := !grouped && h.Own == "/"
	whole := p.own(namespaces.Cgroup) // paths in /proc/self/cgroup start where the mount does
	if p.own(namespaces.User) {
		whole = p.hasNew(namespaces.Cgroup) && (grouped || kind == "cgroup2" && !same) // only its owner may mount
	}
	if whole {
		name := kind
		options.Data = strings.Join(h.Controllers, ",")
		switch {
		case kind == "cgroup2":
			options.Data = ""
		case path.Base(h.Mount) == "systemd":
			name = "systemd"
		}
		return chroot.MountPoint{Type: kind, Source: name, Target: target, Options: options, Why: why}
	}
	options.Flags |= unix.MS_BIND | unix.MS_REC
	options.Data = ""
	return chroot.MountPoint{Source: source, Target: target, Options: options, Why: why}
}

// cgroupHint says what an error of a call about cgroups means. Such a call names a file of theirs.
func cgroupHint(e *kernel.CallError) string {
	switch {
	case !strings.Contains(e.Call.String(), "/cgroup"):
		return ""
	case errors.Is(e.Err, unix.EROFS):
		return "the cgroup file system is mounted read-only here: in a container, ask its engine for a writable one"
	case errors.Is(e.Err, unix.EACCES):
		return "this cgroup belongs to somebody else: run as root, or let it be delegated"
	case errors.Is(e.Err, unix.EEXIST):
		return "another container has just made it: name another one"
	case errors.Is(e.Err, unix.EINVAL), errors.Is(e.Err, unix.ERANGE), errors.Is(e.Err, unix.EBUSY):
		return "the kernel does not take this value"
	}
	return ""
}
