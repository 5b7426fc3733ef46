// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
)

// labelMounts gives the container's own file systems the SELinux label of linux.mountLabel: as the mount option context=
// (mount(8)), which goes into the mounts' data, and afterwards for a file system that belongs to the IPC namespace and takes
// no option. What is bound keeps its labels, and proc, sysfs and cgroups have those that the policy gives them, as in runc.
// Without SELinux a label means nothing to anybody: that is told, and no error.
func (p *planner) labelMounts(mounts []chroot.MountPoint) ([]kernel.Call, error) {
	label := p.spec.Linux.MountLabel
	switch {
	case label == "":
		return nil, nil
	case !p.facts.Security.SELinux:
		p.options.notify(fmt.Sprintf("linux.mountLabel %q is left out: this kernel has no SELinux, which alone would look at it", label))
		return nil, nil
	case strings.ContainsAny(label, "\"\n\x00"):
		return nil, errors.New("linux.mountLabel holds a quote, a line feed or a NUL byte: a label is user:role:type:level")
	}
	own := []string{"proc", "sysfs", "cgroup", "cgroup2"}
	var calls []kernel.Call
	for i := range mounts {
		m := &mounts[i]
		switch {
		case m.Options.Flags&(unix.MS_BIND|unix.MS_REMOUNT) != 0 || slices.Contains(own, m.Type):
		case m.Type == "mqueue":
			calls = append(calls, kernel.Call{Request: SetLabel{m.Target, label}, Why: "the container's processes may use only what has their label"})
		default: // quoted, as a level may hold a comma
			m.Options.Data = strings.TrimPrefix(fmt.Sprintf("%s,context=%q", m.Options.Data, label), ",")
		}
	}
	return calls, nil
}

// SetLabel labels a file of the container's root for SELinux (setxattr(2), security.selinux).
type SetLabel struct{ Path, Label string }

// String names both.
func (s SetLabel) String() string { return fmt.Sprintf("label %s %s", s.Path, s.Label) }

// Shell is chcon(1).
func (s SetLabel) Shell() string {
	return "chcon " + kernel.Quote(s.Label) + ` "$root"` + kernel.Quote(s.Path)
}

// Assemble opens the file without leaving the root, and sets the attribute through the descriptor's path. The value ends
// with a NUL byte, as libselinux writes it.
func (s SetLabel) Assemble(a *kernel.Assembler) {
	const root, file kernel.Slot = "root", "labelled" // the root was opened by chroot.BindRoot
	how := kernel.Struct(kernel.Int(unix.O_PATH|unix.O_CLOEXEC), kernel.Int(0), kernel.Int(unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS))
	a.Sys(unix.SYS_OPENAT2, kernel.FD(root), kernel.Str(strings.TrimPrefix(s.Path, "/")), how, kernel.Int(24)).Into(file)
	a.Sys(unix.SYS_SETXATTR, kernel.FDPath(file), kernel.Str("security.selinux"), kernel.Str(s.Label), kernel.Int(len(s.Label)+1), kernel.Int(0))
	a.Close(file)
}
