// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Options is what the option strings of a mount mean.
type Options struct {
	// Flags are MS_* flags that are set; Clear are those that an option takes back ("rw", "dev").
	Flags, Clear uintptr
	// Propagation holds MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each with MS_REC or not, in
	// the order they are applied.
	Propagation []uintptr
	// RecursiveSet and RecursiveClear are MOUNT_ATTR_* for the mount and all below it ("rro").
	RecursiveSet, RecursiveClear uint64
	// Data is what the file system itself reads, joined by commas.
	Data string
	// CopyUp fills a new tmpfs from the folder it hides ("tmpcopyup").
	CopyUp bool
	// IDMap asks for an id-mapped mount ("idmap"); RecursiveIDMap also maps those below ("ridmap").
	IDMap, RecursiveIDMap bool
}

// The options are found in lists rather than in maps: a map of them, made for each mount of a container, costs as much as
// the mount. A list that only one function has is in the program's own memory.

// flagOption is an option that sets or clears a mount flag.
type flagOption struct {
	name  string
	clear bool
	flag  uintptr
}

// flagOptions yields the options that set or clear a mount flag: mount(8), and the table "Linux mount
// options" of the OCI runtime specification's config.md.
func flagOptions(yield func(flagOption) bool) {
	for _, o := range [...]flagOption{
		{"async", true, unix.MS_SYNCHRONOUS},
		{"atime", true, unix.MS_NOATIME},
		{"bind", false, unix.MS_BIND},
		{"defaults", false, 0},
		{"dev", true, unix.MS_NODEV},
		{"diratime", true, unix.MS_NODIRATIME},
		{"dirsync", false, unix.MS_DIRSYNC},
		{"exec", true, unix.MS_NOEXEC},
		{"iversion", false, unix.MS_I_VERSION},
		{"lazytime", false, unix.MS_LAZYTIME},
		{"loud", true, unix.MS_SILENT},
		{"mand", false, unix.MS_MANDLOCK},
		{"noatime", false, unix.MS_NOATIME},
		{"nodev", false, unix.MS_NODEV},
		{"nodiratime", false, unix.MS_NODIRATIME},
		{"noexec", false, unix.MS_NOEXEC},
		{"noiversion", true, unix.MS_I_VERSION},
		{"nolazytime", true, unix.MS_LAZYTIME},
		{"nomand", true, unix.MS_MANDLOCK},
		{"norelatime", true, unix.MS_RELATIME},
		{"nostrictatime", true, unix.MS_STRICTATIME},
		{"nosuid", false, unix.MS_NOSUID},
		{"nosymfollow", false, unix.MS_NOSYMFOLLOW},
		{"rbind", false, unix.MS_BIND | unix.MS_REC},
		{"relatime", false, unix.MS_RELATIME},
		{"remount", false, unix.MS_REMOUNT},
		{"ro", false, unix.MS_RDONLY},
		{"rw", true, unix.MS_RDONLY},
		{"silent", false, unix.MS_SILENT},
		{"strictatime", false, unix.MS_STRICTATIME},
		{"suid", true, unix.MS_NOSUID},
		{"symfollow", true, unix.MS_NOSYMFOLLOW},
		{"sync", false, unix.MS_SYNCHRONOUS},
	} {
		if !yield(o) {
			return
		}
	}
}

// propagationOption is an option that says where later mounts appear (mount_namespaces(7)).
type propagationOption struct {
	name  string
	flags uintptr
}

// propagationOptions yields all of them.
func propagationOptions(yield func(propagationOption) bool) {
	for _, o := range [...]propagationOption{
		{"private", unix.MS_PRIVATE},
		{"rprivate", unix.MS_PRIVATE | unix.MS_REC},
		{"shared", unix.MS_SHARED},
		{"rshared", unix.MS_SHARED | unix.MS_REC},
		{"slave", unix.MS_SLAVE},
		{"rslave", unix.MS_SLAVE | unix.MS_REC},
		{"unbindable", unix.MS_UNBINDABLE},
		{"runbindable", unix.MS_UNBINDABLE | unix.MS_REC},
	} {
		if !yield(o) {
			return
		}
	}
}

// recursiveOption is an option for a mount and all below it (mount_setattr(2) with AT_RECURSIVE).
type recursiveOption struct {
	name       string
	set, clear uint64
}

// recursiveOptions yields all of them.
func recursiveOptions(yield func(recursiveOption) bool) {
	for _, o := range [...]recursiveOption{
		{"rro", unix.MOUNT_ATTR_RDONLY, 0},
		{"rrw", 0, unix.MOUNT_ATTR_RDONLY},
		{"rnosuid", unix.MOUNT_ATTR_NOSUID, 0},
		{"rsuid", 0, unix.MOUNT_ATTR_NOSUID},
		{"rnodev", unix.MOUNT_ATTR_NODEV, 0},
		{"rdev", 0, unix.MOUNT_ATTR_NODEV},
		{"rnoexec", unix.MOUNT_ATTR_NOEXEC, 0},
		{"rexec", 0, unix.MOUNT_ATTR_NOEXEC},
		{"rnodiratime", unix.MOUNT_ATTR_NODIRATIME, 0},
		{"rdiratime", 0, unix.MOUNT_ATTR_NODIRATIME},
		{"rrelatime", unix.MOUNT_ATTR_RELATIME, unix.MOUNT_ATTR__ATIME},
		{"rnorelatime", 0, unix.MOUNT_ATTR__ATIME},
		{"rnoatime", unix.MOUNT_ATTR_NOATIME, unix.MOUNT_ATTR__ATIME},
		{"ratime", 0, unix.MOUNT_ATTR__ATIME},
		{"rstrictatime", unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME},
		{"rnostrictatime", 0, unix.MOUNT_ATTR__ATIME},
		{"rnosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, 0},
		{"rsymfollow", 0, unix.MOUNT_ATTR_NOSYMFOLLOW},
	} {
		if !yield(o) {
			return
		}
	}
}

// ParseOptions reads the option strings of an OCI mount. What is not an option of the kernel is data
// for the file system, which refuses what it doesn't know.
func ParseOptions(options []string) Options {
	var o Options
	var data []string
	for _, name := range options {
		if !o.plain(name) && !o.propagation(name) && !o.recursive(name) && !o.special(name) {
			data = append(data, name)
		}
	}
	o.Data = strings.Join(data, ",")
	return o
}

// plain sets or clears a flag; the last option wins.
func (o *Options) plain(name string) bool {
	for f := range flagOptions {
		switch {
		case f.name != name:
			continue
		case f.clear:
			o.Flags &^= f.flag
			o.Clear |= f.flag
		default:
			o.Flags |= f.flag
			o.Clear &^= f.flag
		}
		return true
	}
	return false
}

// propagation notes an option of propagation.
func (o *Options) propagation(name string) bool {
	for p := range propagationOptions {
		if p.name == name {
			o.Propagation = append(o.Propagation, p.flags)
			return true
		}
	}
	return false
}

// recursive sets or clears recursive attributes; the last option wins.
func (o *Options) recursive(name string) bool {
	for r := range recursiveOptions {
		if r.name == name {
			o.RecursiveSet = o.RecursiveSet&^(r.clear|r.set) | r.set
			o.RecursiveClear = o.RecursiveClear&^(r.clear|r.set) | r.clear
			return true
		}
	}
	return false
}

// special notes the options that are neither flags nor data.
func (o *Options) special(name string) bool {
	switch name {
	case "tmpcopyup":
		o.CopyUp = true
	case "idmap":
		o.IDMap = true
	case "ridmap":
		o.IDMap, o.RecursiveIDMap = true, true
	default:
		return false
	}
	return true
}

// attributeFlags pairs the mount flags that belong to a mount (not to its file system) with the
// attributes of mount_setattr(2), in the order mount(8) prints them.
func attributeFlags() []struct {
	flag uintptr
	attr uint64
	name string
} {
	return []struct {
		flag uintptr
		attr uint64
		name string
	}{
		{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY, "ro"},
		{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID, "nosuid"},
		{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV, "nodev"},
		{unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC, "noexec"},
		{unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"},
		{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME, "nodiratime"},
		{unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME, "noatime"},
		{unix.MS_RELATIME, unix.MOUNT_ATTR_RELATIME, "relatime"},
		{unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME, "strictatime"},
	}
}

// attributes turns mount flags into what mount_setattr(2) sets and clears. The access-time modes
// share one field, which is cleared before it is set.
func attributes(flags, clearFlags uintptr) (set, clearAttr uint64) {
	const times = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	for _, f := range attributeFlags() {
		if flags&f.flag != 0 {
			set |= f.attr
		}
		if clearFlags&f.flag != 0 && f.flag&times == 0 {
			clearAttr |= f.attr
		}
	}
	if (flags|clearFlags)&times != 0 {
		clearAttr |= unix.MOUNT_ATTR__ATIME
	}
	return set, clearAttr
}

// otherFlagNames are the flags of the file system, as mount(8) names them.
func otherFlagNames() map[uintptr]string {
	return map[uintptr]string{
		unix.MS_SYNCHRONOUS: "sync", unix.MS_DIRSYNC: "dirsync", unix.MS_MANDLOCK: "mand",
		unix.MS_SILENT: "silent", unix.MS_I_VERSION: "iversion", unix.MS_LAZYTIME: "lazytime",
	}
}

// optionNames returns mount(8)'s names for flags, in a fixed order.
func optionNames(flags uintptr) []string {
	var names []string
	for _, f := range attributeFlags() {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	others := otherFlagNames()
	for bit := uintptr(1); bit != 0 && bit <= flags; bit <<= 1 {
		if name, ok := others[bit]; ok && flags&bit != 0 {
			names = append(names, name)
		}
	}
	return names
}
