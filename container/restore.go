// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
)

// stage is where CRIU works: folders in which mounts are made that nobody else sees, so that nothing has to be taken back.
type stage struct {
	folder  string
	cgroups cgroups.Layout
	root    bool // a container's root is bound there, too
}

// rootFolder is where the container's root is bound, as CRIU wants a mount point.
func (s stage) rootFolder() string { return path.Join(s.folder, "root") }

// yard is where the hierarchies of cgroups are bound, each under the name by which CRIU looks for it (criu(8), --cgroup-yard).
// Else it would mount them itself, and take options such as nsdelegate from the whole machine's version 2.
func (s stage) yard() string { return path.Join(s.folder, "cgroups") }

// hierarchy is the folder of one of them.
func (s stage) hierarchy(h cgroups.Hierarchy) string {
	if h.Version == 2 {
		return path.Join(s.yard(), "unified")
	}
	return path.Join(s.yard(), strings.TrimPrefix(strings.Join(h.Controllers, ","), "name="))
}

// folders lists all folders, each behind the one that it is in.
func (s stage) folders() []string {
	list := []string{s.folder, s.yard()}
	for _, h := range s.cgroups.Hierarchies {
		list = append(list, s.hierarchy(h))
	}
	if s.root {
		list = append(list, s.rootFolder())
	}
	return list
}

// calls plans what is done in a new mount namespace.
func (s stage) calls() []kernel.Call {
	calls := []kernel.Call{{
		Request: chroot.Propagation{Target: "/", Host: true, Flags: unix.MS_SLAVE | unix.MS_REC},
		Why:     "a shared / would show these mounts on the host",
	}}
	for _, h := range s.cgroups.Hierarchies {
		calls = append(calls, kernel.Call{Request: bindFolder{h.Mount, s.hierarchy(h)}, Why: "CRIU looks for cgroups there, and mounts none itself"})
	}
	return calls
}

// around plans the process in which CRIU restores a container. Its cgroup is the container's; there it finds the container's
// root, and all places for mounts.
func (p *planner) around(s stage) (host, own []kernel.Call, err error) {
	g := &planner{bundle: p.bundle, spec: p.spec, facts: p.facts, options: p.options, joined: map[namespaces.Kind]bool{}}
	if err := g.cgroup(); err != nil {
		return nil, nil, err
	}
	clone := kernel.Call{Request: kernel.Clone{Flags: unix.CLONE_NEWNS, Cgroup: g.born}, Why: "a process for CRIU, with mounts of its own"}
	host = slices.Concat(g.host, []kernel.Call{clone}, g.cloned)
	places, err := p.makePlaces()
	if err != nil {
		return nil, nil, err
	}
	source := p.bundle.rootPath()
	own = slices.Concat(g.inside, s.calls(), []kernel.Call{
		{Request: bindFolder{source, s.rootFolder()}, Why: "CRIU wants a mount point as the root"},
		{Request: chroot.BindRoot{Path: source}, Why: "what is mounted to make places is not seen in the bind above"},
	}, places, []kernel.Call{
		{Request: detachMount{source}, Why: "the places are made, and CRIU makes the mounts"},
	})
	return host, own, nil
}

// makePlaces plans the places for mounts where they are missing, as they are in a root folder in which the container has never
// run. Those in other file systems come with what CRIU restores.
func (p *planner) makePlaces() ([]kernel.Call, error) {
	mounts, err := p.mounts()
	if err != nil {
		return nil, err
	}
	const why = "CRIU makes no places for mounts"
	var calls []kernel.Call
	for n, m := range mounts {
		bind := m.Options.Flags&unix.MS_BIND != 0
		switch {
		case m.Options.Flags&unix.MS_REMOUNT != 0 || onNewMount(mounts[:n], m.Target):
		case bind:
			recursive := m.Options.Flags&unix.MS_REC != 0
			calls = append(calls, kernel.Call{Request: chroot.Bind{Source: m.Source, Target: m.Target, File: m.File, Recursive: recursive}, Why: why})
		default:
			calls = append(calls, kernel.Call{Request: chroot.Folder{Path: m.Target}, Why: why})
		}
	}
	return calls, nil
}

// onNewMount tells whether a path is in one of the mounts that is no bind.
func onNewMount(mounts []chroot.MountPoint, name string) bool {
	for _, m := range slices.Backward(mounts) {
		if _, ok := below(path.Clean(name), path.Clean(m.Target)); ok && m.Options.Flags&unix.MS_REMOUNT == 0 {
			return m.Options.Flags&unix.MS_BIND == 0
		}
	}
	return false
}

// bindFolder binds a folder of the host over another one.
type bindFolder struct{ Source, Target string }

// String names both.
func (b bindFolder) String() string { return fmt.Sprintf("bind %s on %s", b.Source, b.Target) }

// Shell is mount --rbind.
func (b bindFolder) Shell() string { return "mount --rbind " + kernel.Quote(b.Source, b.Target) }

// Assemble is mount(2).
func (b bindFolder) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_MOUNT, kernel.Str(b.Source), kernel.Str(b.Target), kernel.Int(0), kernel.Int(unix.MS_BIND|unix.MS_REC), kernel.Int(0))
}

// detachMount takes away what is mounted on a folder of the host, with all mounts in it.
type detachMount struct{ Path string }

// String names the folder.
func (d detachMount) String() string { return "detach what is mounted on " + d.Path }

// Shell is umount --lazy.
func (d detachMount) Shell() string { return "umount --lazy " + kernel.Quote(d.Path) }

// Assemble is umount2(2).
func (d detachMount) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_UMOUNT2, kernel.Str(d.Path), kernel.Int(unix.MNT_DETACH))
}
