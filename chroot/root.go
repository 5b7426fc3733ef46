// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"path"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Root is the configuration of a container's root file system.
type Root struct {
	// Path is the root folder on the host; absolute.
	Path string
	// View, if set, is where the host side looks at the root folder before First has mounted it.
	View string
	// First are calls that mount the root file system on Path, once the tie to the host is cut.
	First []kernel.Call
	// Host, if set, says that there is no mount namespace: the mounts are the host's, see [HostRoot].
	Host *HostRoot
	// ReadOnly makes the root's own mount read-only, after all else is in place.
	ReadOnly bool
	// Propagation is what "/" is made before anything is mounted; 0 means MS_SLAVE|MS_REC.
	Propagation uintptr
	// SharedParent is the mount point the root folder lies in; it is needed only where Propagation leaves
	// or makes that mount shared or unbindable: pivot_root(2) refuses a shared parent mount, and what lies
	// in an unbindable one can't be bound.
	SharedParent string
	// Mounts are made in this order.
	Mounts []MountPoint
	// Devices are made after the mounts; BindDevices binds the host's instead of making nodes, which
	// a user namespace is not allowed to (user_namespaces(7)).
	Devices     []Device
	BindDevices bool
	// Links are made after the devices.
	Links []Symlink
	// Masked and ReadOnlyPaths are paths that are hidden and protected.
	Masked, ReadOnlyPaths []string
	// WorkingDir is made where it is missing.
	WorkingDir string
	// NoDevices makes device nodes in the image itself useless; /dev must then be a mount of its own.
	NoDevices bool
	// Late are calls of the caller's own that need all mounts, and a root that is not read-only yet.
	Late []kernel.Call
}

// MountPoint is one mount of the configuration: what, where, and how.
type MountPoint struct {
	Type, Source, Target string
	Options              Options
	// File says that the source of a bind is not a folder.
	File bool
	// UIDs and GIDs are the map of an id-mapped bind (Options.IDMap); both have ranges then.
	UIDs, GIDs []IDRange
	// Links are made in a new file system.
	Links []Symlink
	// Why is the reason that explain prints; "" for a general one.
	Why string
}

// Calls plans everything up to, but not including, the change of root: [Pivot] follows. What
// [Root.HostCalls] plans comes before the clone.
func (r Root) Calls() []kernel.Call {
	calls := r.start()
	for i, m := range r.Mounts {
		calls = append(calls, m.calls(treeSlot(i), r.flagsAt(r.Mounts[:i], m.Target))...)
	}
	calls = append(calls, r.devices()...)
	for _, link := range r.Links {
		calls = append(calls, kernel.Call{Request: link, Why: "programs expect this name in /dev"})
	}
	if dir := path.Clean("/" + r.WorkingDir); dir != "/" {
		calls = append(calls, kernel.Call{Request: Folder{dir}, Why: "the command starts there"})
	}
	calls = append(calls, r.Late...)
	return append(calls, r.protect()...)
}

// start cuts the tie to the host's mounts and opens the root.
func (r Root) start() []kernel.Call {
	var calls []kernel.Call
	if r.Host == nil {
		calls = r.cut()
	}
	if r.NoDevices {
		calls = append(calls, kernel.Call{
			Request: Attributes{Target: "/", Set: unix.MOUNT_ATTR_NODEV},
			Why:     "a device node in the image would open the host's device",
		})
	}
	return calls
}

// cut is the part of start that changes the mount namespace.
func (r Root) cut() []kernel.Call {
	calls := []kernel.Call{{
		Request: Propagation{Target: "/", Host: true, Flags: r.propagation()},
		Why:     "a shared / would show every mount of the container on the host",
	}}
	if r.SharedParent != "" {
		calls = append(calls, kernel.Call{
			Request: Propagation{Target: r.SharedParent, Host: true, Flags: unix.MS_PRIVATE},
			Why:     "pivot_root refuses a root whose parent mount is shared, and in an unbindable one nothing can be bound",
		})
	}
	calls = append(calls, r.First...)
	return append(calls, kernel.Call{Request: BindRoot{r.Path}, Why: "pivot_root wants a mount point"})
}

// propagation is what "/" is made.
func (r Root) propagation() uintptr {
	if r.Propagation == 0 {
		return unix.MS_SLAVE | unix.MS_REC
	}
	return r.Propagation
}

// devices makes or binds the device nodes.
func (r Root) devices() []kernel.Call {
	var calls []kernel.Call
	for _, d := range r.Devices {
		call := kernel.Call{Request: d, Why: "the container's own device node"}
		if r.BindDevices {
			call = kernel.Call{
				Request: Bind{Source: d.Path, Target: d.Path, File: true},
				Why:     "in a user namespace mknod is forbidden: the host's node is bound",
			}
		}
		calls = append(calls, call)
	}
	return calls
}

// protect masks and write-protects paths, and then the root itself.
func (r Root) protect() []kernel.Call {
	var calls []kernel.Call
	for _, p := range r.ReadOnlyPaths {
		calls = append(calls, kernel.Call{
			Request: ReadOnly{Path: p, Kept: r.flagsAt(r.Mounts, p)},
			Why:     "writing here would change the machine, not the container",
		})
	}
	for _, p := range r.Masked {
		calls = append(calls, kernel.Call{
			Request: Mask{p}, Why: "it tells about the machine, not about the container",
		})
	}
	if r.ReadOnly {
		calls = append(calls, kernel.Call{
			Request: Attributes{Target: "/", Set: unix.MOUNT_ATTR_RDONLY, Kept: r.rootFlags()},
			Why:     "the configuration asks for a read-only root",
		})
	}
	return calls
}

// rootFlags are the flags that the root's own mount is given.
func (r Root) rootFlags() uintptr {
	if r.NoDevices {
		return unix.MS_NODEV
	}
	return 0
}

// flagsAt returns the flags of the mount that a path lies in, of those in the list.
func (r Root) flagsAt(mounts []MountPoint, name string) uintptr {
	best, flags := 0, r.rootFlags()
	for _, m := range mounts {
		if target := path.Clean("/" + m.Target); m.covers(name) && len(target) >= best {
			best, flags = len(target), m.Options.Flags&^(unix.MS_BIND|unix.MS_REC)
		}
	}
	return flags
}

// calls plans one mount: the mount itself, and what is changed about it afterwards (a bind is finished
// before it is placed). tree is the slot in which the host side keeps what it prepared for this mount,
// if it did; kept are the flags of what is mounted in its place.
func (m MountPoint) calls(tree kernel.Slot, kept uintptr) []kernel.Call {
	why := m.Why
	if why == "" {
		why = reason(m)
	}
	o := m.Options
	var calls []kernel.Call
	switch {
	case o.Flags&unix.MS_REMOUNT != 0:
		calls = m.remount(kept)
	case o.CopyUp || o.IDMap:
		return m.place(tree, why)
	case o.Flags&unix.MS_BIND != 0:
		bind := Bind{Source: m.Source, Target: m.Target, File: m.File, Recursive: o.Flags&unix.MS_REC != 0, Finish: m.finish()}
		return []kernel.Call{{Request: bind, Why: why}}
	default:
		calls = append(calls, kernel.Call{Request: Mount{m.Type, m.Source, m.Target, o.Flags, o.Data}, Why: why})
		for _, link := range m.Links {
			calls = append(calls, kernel.Call{Request: link, Why: "programs look for this name, too"})
		}
	}
	if o.RecursiveSet|o.RecursiveClear != 0 {
		calls = append(calls, kernel.Call{
			Request: Attributes{Target: m.Target, Set: o.RecursiveSet, Clear: o.RecursiveClear, Recursive: true},
			Why:     "a plain option reaches only the topmost mount",
		})
	}
	for _, flags := range o.Propagation {
		calls = append(calls, kernel.Call{
			Request: Propagation{Target: m.Target, Flags: flags},
			Why:     "the configuration says whether later mounts appear on the other side",
		})
	}
	return calls
}

// attributes plans the change of a mount's own attributes, where options ask for any. kept are flags
// that the mount is known to have.
func (m MountPoint) attributes(why string, recursive bool, kept uintptr) []kernel.Call {
	set, unset := attributes(m.Options.Flags, m.Options.Clear)
	if set|unset == 0 {
		return nil
	}
	return []kernel.Call{{
		Request: Attributes{Target: m.Target, Set: set, Clear: unset, Recursive: recursive, Kept: kept}, Why: why,
	}}
}

// finish collects what the options ask for beside the mount itself. Those of a tmpfs that was filled
// have been set by the host side.
func (m MountPoint) finish() Finish {
	o := m.Options
	f := Finish{Propagation: o.Propagation}
	if set, unset := attributes(o.Flags, o.Clear); set|unset != 0 && !o.CopyUp {
		f.Attributes = append(f.Attributes, Attributes{Set: set, Clear: unset})
	}
	if o.RecursiveSet|o.RecursiveClear != 0 {
		f.Attributes = append(f.Attributes, Attributes{Set: o.RecursiveSet, Clear: o.RecursiveClear, Recursive: true})
	}
	return f
}

// remount plans the change of a mount that is there: its own attributes, and what its file system
// reads.
func (m MountPoint) remount(kept uintptr) []kernel.Call {
	const why = "the configuration changes a mount that is there"
	o := m.Options
	calls := m.attributes(why, o.Flags&unix.MS_REC != 0, kept)
	if o.Data != "" && o.Flags&unix.MS_BIND == 0 {
		calls = append(calls, kernel.Call{Request: Remount{Target: m.Target, Data: o.Data}, Why: why})
	}
	return calls
}

// reason says why a container has a mount of this type.
func reason(m MountPoint) string {
	if m.Options.Flags&unix.MS_BIND != 0 {
		return "the configuration lends this part of the host"
	}
	reasons := map[string]string{
		"proc":    "the container sees its own processes",
		"sysfs":   "the container sees its own network devices in /sys/class/net",
		"tmpfs":   "a place in memory that ends with the container",
		"devpts":  "terminals of its own, numbered from 0",
		"mqueue":  "POSIX message queues of its IPC namespace",
		"cgroup":  "the container sees its own limits",
		"cgroup2": "the container sees its own limits",
		"overlay": "layers seen as one tree",
	}
	if why, ok := reasons[m.Type]; ok {
		return why
	}
	return "the configuration asks for it"
}
