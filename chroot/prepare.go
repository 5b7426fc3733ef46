// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// HostCalls plans what the host side does before the clone, with the host's rights: the mounts that
// are id-mapped, or that start with what the image has in their place, are made there, attached
// nowhere, and [Root.Calls] places them. Most containers need none.
func (r Root) HostCalls() []kernel.Call {
	var calls []kernel.Call
	if r.Host != nil {
		calls = append(calls, kernel.Call{Request: *r.Host, Why: "the mounts are made here, and go with this one"})
	}
	var maps []MakeIDMap
	for i, m := range r.Mounts {
		if reason := r.refusal(i); reason != "" {
			calls = append(calls, kernel.Call{Request: Refuse{m.Target, reason}, Why: "a mount without what was asked for could harm"})
			continue
		}
		switch {
		case m.Options.CopyUp:
			calls = append(calls, r.copyUp(m, treeSlot(i)))
		case m.Options.IDMap:
			ids := MakeIDMap{UIDs: m.UIDs, GIDs: m.GIDs}
			at := slices.IndexFunc(maps, ids.same)
			if at < 0 {
				at = len(maps)
				ids.Into = kernel.Slot(fmt.Sprintf("idmap%d", at+1))
				maps = append(maps, ids)
				calls = append(calls, kernel.Call{Request: ids, Why: "the kernel takes the map of a mount from a user namespace"})
			}
			calls = append(calls, r.takeTree(m, maps[at].Into, treeSlot(i)))
		}
	}
	return calls
}

// same tells whether two maps have the same ranges.
func (m MakeIDMap) same(other MakeIDMap) bool {
	return slices.Equal(m.UIDs, other.UIDs) && slices.Equal(m.GIDs, other.GIDs)
}

// treeSlot is the slot for what the host side prepares for mount i.
func treeSlot(i int) kernel.Slot { return kernel.Slot(fmt.Sprintf("tree%d", i+1)) }

// refusal says why mount i can't have what its options ask for, and "" where it can.
func (r Root) refusal(i int) string {
	m := r.Mounts[i]
	o := m.Options
	bind, remount := o.Flags&unix.MS_BIND != 0, o.Flags&unix.MS_REMOUNT != 0
	switch {
	case o.IDMap && (!bind || remount):
		return "only a bind can be id-mapped (idmap, ridmap, uidMappings, gidMappings)"
	case o.IDMap && (len(m.UIDs) == 0 || len(m.GIDs) == 0):
		return "an id-mapped mount needs uidMappings and gidMappings"
	case o.CopyUp && (m.Type != "tmpfs" || bind || remount):
		return "tmpcopyup is for a new tmpfs"
	case o.CopyUp && slices.ContainsFunc(r.Mounts[:i], func(other MountPoint) bool { return other.covers(m.Target) }):
		return "tmpcopyup copies what the image has, and an earlier mount hides that"
	}
	return ""
}

// covers tells whether what the image has at a path is hidden by this mount.
func (m MountPoint) covers(name string) bool {
	target := path.Clean("/" + m.Target)
	return m.Options.Flags&unix.MS_REMOUNT == 0 && strings.HasPrefix(path.Clean("/"+name)+"/", target+"/")
}

// copyUp plans the filling of a tmpfs.
func (r Root) copyUp(m MountPoint, tree kernel.Slot) kernel.Call {
	return kernel.Call{
		Request: CopyUp{Root: cmp.Or(r.View, r.Path), Folder: m.Target, Flags: m.Options.Flags, Data: m.Options.Data, Into: tree},
		Why:     "the configuration wants the image's files in the tmpfs that hides them",
	}
}

// takeTree plans the taking of an id-mapped tree, cut off from the host's mounts as "/" will be.
func (r Root) takeTree(m MountPoint, ids, tree kernel.Slot) kernel.Call {
	return kernel.Call{
		Request: TakeTree{
			Source: m.Source, Recursive: m.Options.Flags&unix.MS_REC != 0,
			IDMap: ids, RecursiveIDMap: m.Options.RecursiveIDMap,
			Propagation: r.treePropagation(), Into: tree,
		},
		Why: "its files belong to other ids inside than outside",
	}
}

// treePropagation is what a tree becomes whose source may be shared with the host.
func (r Root) treePropagation() uintptr {
	switch {
	case r.propagation()&unix.MS_SHARED != 0:
		return 0
	case r.propagation()&unix.MS_SLAVE != 0:
		return unix.MS_SLAVE
	}
	return unix.MS_PRIVATE
}

// place plans the placing of what the host side prepared.
func (m MountPoint) place(tree kernel.Slot, why string) []kernel.Call {
	p := PlaceTree{Tree: tree, Target: m.Target, File: m.File, Finish: m.finish()}
	if m.Options.CopyUp {
		p.File, p.Command = false, m.copyUpCommand()
		return []kernel.Call{{Request: p, Why: why}}
	}
	// util-linux has the option since 2.39.
	idMap := idMapOption(m.UIDs, m.GIDs)
	p.Command = fmt.Sprintf("mount %s -o %s %s", bindOption(m.Options.Flags&unix.MS_REC != 0), kernel.Quote("X-mount.idmap="+idMap), kernel.Quote(m.Source))
	return []kernel.Call{{Request: p, Why: why}}
}

// copyUpCommand mounts a tmpfs over the folder and copies from the folder below it, which a descriptor
// keeps in reach.
func (m MountPoint) copyUpCommand() string {
	target := shellPath(m.Target)
	words := []string{"mount", "-t", "tmpfs"}
	if options := (Mount{Flags: m.Options.Flags &^ unix.MS_RDONLY, Data: m.Options.Data}).options(); options != "" {
		words = append(words, "-o", options)
	}
	command := fmt.Sprintf("exec 9<%[1]s && %[2]s tmpfs %[1]s && cp -a /proc/self/fd/9/.", target, kernel.Quote(words...))
	if m.Options.Flags&unix.MS_RDONLY != 0 {
		command += fmt.Sprintf(" %s && mount -o remount,bind,ro", target)
	}
	return command
}
