// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// The slots of an overlay mount while it is made.
const (
	slotContext kernel.Slot = "overlay-context" // the file system that is being configured
	slotOverlay kernel.Slot = "overlay"         // its mount, attached nowhere yet
	slotHere    kernel.Slot = "overlay-here"    // the folder that the process was in
)

// OverlayMount mounts an overlay in the container's mount namespace.
//
// Where the kernel takes the lower folders one by one, that is how they are given (fsopen(2), fsconfig(2) with lowerdir+, fsmount(2),
// move_mount(2)). All others get one line of options by mount(2), which ends after a page (4,095 bytes on most machines): there
// Dir is set, the process goes to that folder of links for the time of the call, and the paths are short ones relative to it, so
// that 500 layers are 1,890 bytes.
type OverlayMount struct {
	// Lower are the lower folders, the lowest first: at least one, and two without Upper.
	Lower []string
	// Upper and Work are overlay's writable folders; without them the mount is read-only.
	Upper, Work string
	// Target is the mount point.
	Target string
	// Options are overlay's other options: "index=off", "volatile".
	Options []string
	// Dir is the folder to which the other paths are relative, but for Target; empty where they are absolute.
	Dir string
}

// String is "mount an overlay of 6 layers and a writable one on DIR/merged".
func (m OverlayMount) String() string {
	if m.Upper == "" {
		return fmt.Sprintf("mount an overlay of %d layers on %s, read-only", len(m.Lower), m.Target)
	}
	return fmt.Sprintf("mount an overlay of %d layers and a writable one on %s", len(m.Lower), m.Target)
}

// data is the line of options for mount(2). The first lower folder there is the highest.
func (m OverlayMount) data() string {
	lower := make([]string, len(m.Lower))
	for i, path := range m.Lower {
		lower[len(lower)-1-i] = path
	}
	options := []string{"lowerdir=" + strings.Join(lower, ":")}
	if m.Upper != "" {
		options = append(options, "upperdir="+m.Upper, "workdir="+m.Work)
	}
	return strings.Join(append(options, m.Options...), ",")
}

// Shell is mount(8).
func (m OverlayMount) Shell() string {
	command := "mount " + kernel.Quote("-t", "overlay", "-o", m.data(), "overlay") + ` "$root"`
	if m.Dir == "" {
		return command
	}
	return fmt.Sprintf("(cd %s && %s)", kernel.Quote(m.Dir), command)
}

// Assemble appends the system calls of the one way or the other.
func (m OverlayMount) Assemble(a *kernel.Assembler) {
	if m.Dir == "" {
		m.assembleConfig(a)
		return
	}
	here := kernel.Int(unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC)
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str("."), here).Into(slotHere)
	a.Sys(unix.SYS_CHDIR, kernel.Str(m.Dir))
	a.Sys(unix.SYS_MOUNT, kernel.Str("overlay"), kernel.Str(m.Target), kernel.Str("overlay"), kernel.Int(m.flags()), kernel.Str(m.data()))
	a.Sys(unix.SYS_FCHDIR, kernel.FD(slotHere))
	a.Close(slotHere)
}

// flags are mount(2)'s.
func (m OverlayMount) flags() uintptr {
	if m.Upper == "" {
		return unix.MS_RDONLY
	}
	return 0
}

// assembleConfig appends the system calls of the new way.
func (m OverlayMount) assembleConfig(a *kernel.Assembler) {
	a.Sys(unix.SYS_FSOPEN, kernel.Str("overlay"), kernel.Int(unix.FSOPEN_CLOEXEC)).Into(slotContext)
	for _, p := range m.parameters() {
		command, value := unix.FSCONFIG_SET_STRING, kernel.Str(p.value)
		if p.flag {
			command, value = unix.FSCONFIG_SET_FLAG, kernel.Int(0)
		}
		a.Sys(unix.SYS_FSCONFIG, kernel.FD(slotContext), kernel.Int(command), kernel.Str(p.key), value, kernel.Int(0))
	}
	none := kernel.Int(0)
	a.Sys(unix.SYS_FSCONFIG, kernel.FD(slotContext), kernel.Int(unix.FSCONFIG_CMD_CREATE), none, none, none)
	a.Sys(unix.SYS_FSMOUNT, kernel.FD(slotContext), kernel.Int(unix.FSMOUNT_CLOEXEC), kernel.Int(m.attributes())).Into(slotOverlay)
	a.Close(slotContext)
	a.Sys(unix.SYS_MOVE_MOUNT, kernel.FD(slotOverlay), kernel.Str(""), kernel.Int(unix.AT_FDCWD), kernel.Str(m.Target),
		kernel.Int(unix.MOVE_MOUNT_F_EMPTY_PATH))
	a.Close(slotOverlay)
}

// attributes are fsmount(2)'s.
func (m OverlayMount) attributes() int {
	if m.Upper == "" {
		return unix.MOUNT_ATTR_RDONLY
	}
	return 0
}

// parameter is one for fsconfig(2).
type parameter struct {
	key, value string
	flag       bool // it has no value
}

// parameters lists what fsconfig(2) is told. The first lower folder that it gets is the highest.
func (m OverlayMount) parameters() []parameter {
	list := []parameter{{key: "source", value: "overlay"}}
	for i := range m.Lower {
		list = append(list, parameter{key: "lowerdir+", value: m.Lower[len(m.Lower)-1-i]})
	}
	if m.Upper != "" {
		list = append(list, parameter{key: "upperdir", value: m.Upper}, parameter{key: "workdir", value: m.Work})
	}
	for _, o := range m.Options {
		key, value, pair := strings.Cut(o, "=")
		list = append(list, parameter{key: key, value: value, flag: !pair})
	}
	return list
}

// Report mounts once more, in the host's process and for nobody to see: there overlay says in words what it doesn't like.
func (m OverlayMount) Report(_ *kernel.Host, err error) error {
	tree, told := m.detached()
	switch {
	case errors.Is(told, unix.EPERM): // only the container's process has the right to
		return err
	case told != nil:
		return told
	}
	unix.Close(tree)
	return err
}
