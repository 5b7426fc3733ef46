// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Mount mounts a new file system at a path of the container, which is made where it is missing.
type Mount struct {
	Type, Source, Target string
	// Flags are MS_* flags, without MS_BIND, MS_REMOUNT and propagation.
	Flags uintptr
	// Data is for the file system: "mode=755,size=65536k".
	Data string
}

// String is "mount proc on /proc (nosuid,noexec)".
func (m Mount) String() string {
	text := fmt.Sprintf("mount %s on %s", m.Type, m.Target)
	if options := m.options(); options != "" {
		text += " (" + options + ")"
	}
	return text
}

// options joins flags and data as mount -o takes them.
func (m Mount) options() string {
	names := optionNames(m.Flags)
	if m.Data != "" {
		names = append(names, m.Data)
	}
	return strings.Join(names, ",")
}

// Shell is mount(8).
func (m Mount) Shell() string {
	words := []string{"-t", m.Type}
	if options := m.options(); options != "" {
		words = append(words, "-o", options)
	}
	return fmt.Sprintf("mkdir -p %[1]s && mount %[2]s %[1]s", shellPath(m.Target), kernel.Quote(append(words, m.Source)...))
}

// Assemble makes the mount point where needed and mounts on its descriptor.
func (m Mount) Assemble(a *kernel.Assembler) {
	resolve := uint64(confined)
	if m.Type == "proc" || m.Type == "sysfs" {
		resolve = strict
	}
	ensure(a, m.Target, false, resolve)
	notTheRoot(a)
	data := kernel.Int(0)
	if m.Data != "" {
		data = kernel.Str(m.Data)
	}
	a.Sys(unix.SYS_MOUNT, kernel.Str(m.Source), kernel.FDPath(slotTarget), kernel.Str(m.Type), kernel.Int(m.Flags), data)
	a.Close(slotTarget)
}

// Bind makes a folder or file of the host appear at a path of the container.
type Bind struct {
	// Source is a path of the host; it must be there.
	Source string
	Target string
	// File says that the source is not a folder: a missing target is made as an empty file.
	File bool
	// Recursive takes along what is mounted below the source.
	Recursive bool
	// Finish is done to the new mounts before they are placed.
	Finish Finish
}

// String is "bind /data on /mnt".
func (b Bind) String() string {
	if b.Recursive {
		return fmt.Sprintf("bind %s with all below it on %s%s", b.Source, b.Target, b.Finish)
	}
	return fmt.Sprintf("bind %s on %s%s", b.Source, b.Target, b.Finish)
}

// Shell is mount --bind.
func (b Bind) Shell() string {
	command := fmt.Sprintf("%s && mount %s %s %s", madePoint(b.Target, b.File), bindOption(b.Recursive), kernel.Quote(b.Source), shellPath(b.Target))
	return command + b.Finish.shell(b.Target)
}

// bindOption is mount(8)'s option for a bind.
func bindOption(recursive bool) string {
	if recursive {
		return "--rbind"
	}
	return "--bind"
}

// madePoint is the shell's way to make a mount point where it is missing.
func madePoint(name string, file bool) string {
	target, create := shellPath(name), "mkdir -p"
	if file {
		create = fmt.Sprintf(`mkdir -p "$(dirname %s)" && touch`, target)
	}
	return fmt.Sprintf("{ [ -e %[1]s ] || { %[2]s %[1]s; }; }", target, create)
}

// Assemble copies the source's mounts (open_tree(2)), finishes the copy while nobody can reach it, makes
// the mount point where needed and moves the copy there (move_mount(2)).
func (b Bind) Assemble(a *kernel.Assembler) {
	flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if b.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	a.Sys(unix.SYS_OPEN_TREE, kernel.Int(unix.AT_FDCWD), kernel.Str(b.Source), kernel.Int(flags)).Into(slotTree)
	b.Finish.assemble(a, slotTree)
	ensure(a, b.Target, b.File, confined)
	notTheRoot(a)
	moveTree(a, slotTree)
	a.Close(slotTarget)
}

// Attributes changes attributes of the mount at a path of the container and leaves its others alone
// (mount_setattr(2), Linux 5.12).
type Attributes struct {
	Target string
	// Set and Clear are MOUNT_ATTR_* flags.
	Set, Clear uint64
	// Recursive changes all mounts below as well.
	Recursive bool
	// Kept are MS_* flags that the mount is known to have. Only Shell needs them: mount(8) before
	// util-linux 2.39 replaces all flags in a remount.
	Kept uintptr
}

// String is "make /etc/hosts ro,nosuid".
func (t Attributes) String() string {
	text := fmt.Sprintf("make %s %s", t.Target, strings.Join(t.words(), ","))
	if t.Recursive {
		text += ", and all mounts below it"
	}
	return text
}

// words names what is set, and with a "not" what is cleared.
func (t Attributes) words() []string {
	var words []string
	for _, f := range attributeFlags() {
		switch {
		case f.attr != 0 && t.Set&f.attr != 0:
			words = append(words, f.name)
		case t.Clear&^unix.MOUNT_ATTR__ATIME&f.attr != 0:
			words = append(words, "not "+f.name)
		}
	}
	if t.Clear&unix.MOUNT_ATTR__ATIME != 0 && t.Set&unix.MOUNT_ATTR__ATIME == 0 {
		words = append(words, "relatime") // the mode that is 0
	}
	return words
}

// Shell is a bind remount, which mount(8) has for one mount only.
func (t Attributes) Shell() string {
	flags := t.Kept
	if t.Clear&unix.MOUNT_ATTR__ATIME != 0 {
		flags &^= unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	}
	for _, f := range attributeFlags() {
		if f.attr != 0 && t.Clear&f.attr != 0 {
			flags &^= f.flag
		}
		if f.attr != 0 && t.Set&f.attr != 0 {
			flags |= f.flag
		}
	}
	options := strings.Join(append([]string{"remount", "bind"}, optionNames(flags)...), ",")
	target := shellPath(t.Target)
	if t.Recursive {
		return fmt.Sprintf("findmnt -Rrno TARGET %s | while read -r below; do mount -o %s \"$below\"; done", target, options)
	}
	return fmt.Sprintf("mount -o %s %s", options, target)
}

// Assemble opens what is mounted at the path now and changes it.
func (t Attributes) Assemble(a *kernel.Assembler) {
	open(a, t.Target, 0, confined, slotTarget)
	setAttributes(a, slotTarget, t.Set, t.Clear, 0, t.Recursive)
	a.Close(slotTarget)
}

// Remount gives the file system at a path of the container other options, and leaves the attributes
// of the mount alone (fspick(2), fsconfig(2), Linux 5.2).
type Remount struct {
	Target string
	// Data is for the file system: "size=1m".
	Data string
}

// String is "remount /dev/shm with size=1m".
func (r Remount) String() string { return fmt.Sprintf("remount %s with %s", r.Target, r.Data) }

// Shell is mount -o remount.
func (r Remount) Shell() string {
	return fmt.Sprintf("mount -o %s %s", kernel.Quote("remount,"+r.Data), shellPath(r.Target))
}

// Assemble opens the file system that is mounted at the path, hands it its options and lets it take
// them over.
func (r Remount) Assemble(a *kernel.Assembler) {
	const slotContext kernel.Slot = "context"
	open(a, r.Target, 0, confined, slotTarget)
	flags := kernel.Int(unix.FSPICK_CLOEXEC | unix.FSPICK_EMPTY_PATH)
	a.Sys(unix.SYS_FSPICK, kernel.FD(slotTarget), kernel.Str(""), flags).Into(slotContext)
	for option := range strings.SplitSeq(r.Data, ",") {
		command, value := unix.FSCONFIG_SET_FLAG, kernel.Int(0)
		name, text, pair := strings.Cut(option, "=")
		if pair {
			command, value = unix.FSCONFIG_SET_STRING, kernel.Str(text)
		}
		a.Sys(unix.SYS_FSCONFIG, kernel.FD(slotContext), kernel.Int(command), kernel.Str(name), value, kernel.Int(0))
	}
	a.Sys(unix.SYS_FSCONFIG, kernel.FD(slotContext), kernel.Int(unix.FSCONFIG_CMD_RECONFIGURE), kernel.Int(0), kernel.Int(0), kernel.Int(0))
	a.Close(slotContext)
	a.Close(slotTarget)
}

// Propagation says whether mounts made later at Target appear in other mount namespaces, and theirs
// here (mount_namespaces(7)).
type Propagation struct {
	// Target is a path of the container; or of the host, where Host is set, as long as the root has
	// not been changed.
	Target string
	Host   bool
	// Flags are MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC for all below.
	Flags uintptr
}

// String is "make / rslave".
func (p Propagation) String() string { return fmt.Sprintf("make %s %s", p.Target, p.word()) }

// word is mount(8)'s name for the flags.
func (p Propagation) word() string {
	for o := range propagationOptions {
		if o.flags == p.Flags {
			return o.name
		}
	}
	return fmt.Sprintf("propagation %#x", p.Flags)
}

// Shell is mount --make-….
func (p Propagation) Shell() string {
	target := kernel.Quote(p.Target)
	if !p.Host {
		target = shellPath(p.Target)
	}
	return fmt.Sprintf("mount --make-%s %s", p.word(), target)
}

// Assemble adds mount(2) with the flags alone.
func (p Propagation) Assemble(a *kernel.Assembler) {
	if p.Host {
		a.Sys(unix.SYS_MOUNT, kernel.Int(0), kernel.Str(p.Target), kernel.Int(0), kernel.Int(p.Flags), kernel.Int(0))
		return
	}
	open(a, p.Target, 0, confined, slotTarget)
	a.Sys(unix.SYS_MOUNT, kernel.Int(0), kernel.FDPath(slotTarget), kernel.Int(0), kernel.Int(p.Flags), kernel.Int(0))
	a.Close(slotTarget)
}
