// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// mountFlags is what the words of mount -o mean as flags of mount(2); a word that is no flag goes to the file system.
func mountFlags(word string) (set, clear uintptr, ok bool) {
	switch word {
	case "defaults", "rw":
		return 0, unix.MS_RDONLY, true
	case "ro":
		return unix.MS_RDONLY, 0, true
	case "nosuid":
		return unix.MS_NOSUID, 0, true
	case "suid":
		return 0, unix.MS_NOSUID, true
	case "nodev":
		return unix.MS_NODEV, 0, true
	case "dev":
		return 0, unix.MS_NODEV, true
	case "noexec":
		return unix.MS_NOEXEC, 0, true
	case "exec":
		return 0, unix.MS_NOEXEC, true
	case "sync":
		return unix.MS_SYNCHRONOUS, 0, true
	case "noatime":
		return unix.MS_NOATIME, 0, true
	case "relatime":
		return unix.MS_RELATIME, 0, true
	case "remount":
		return unix.MS_REMOUNT, 0, true
	case "bind":
		return unix.MS_BIND, 0, true
	case "rbind":
		return unix.MS_BIND | unix.MS_REC, 0, true
	case "move":
		return unix.MS_MOVE, 0, true
	}
	propagation, ok := propagationFlag(word)
	return propagation, 0, ok
}

// propagationFlag is the flag of private, rprivate, shared and so on; see mount_namespaces(7).
func propagationFlag(word string) (uintptr, bool) {
	name, recursive := strings.CutPrefix(word, "r")
	flag, ok := map[string]uintptr{
		"private": unix.MS_PRIVATE, "shared": unix.MS_SHARED, "slave": unix.MS_SLAVE, "unbindable": unix.MS_UNBINDABLE,
	}[name]
	if recursive {
		flag |= unix.MS_REC
	}
	return flag, ok
}

// mountPlan is one call of mount(2), and the change of propagation after it, which must be a call of its own.
type mountPlan struct {
	source, target, kind, data string
	flags, propagation         uintptr
}

// parseMount reads the command line of mount.
func parseMount(args []string) (*mountPlan, error) {
	var plain []string
	p := &mountPlan{}
	for _, arg := range args {
		word, long := strings.CutPrefix(arg, "--")
		if flag, ok := propagationFlag(strings.TrimPrefix(word, "make-")); long && ok && strings.HasPrefix(word, "make-") {
			p.propagation = flag
			continue
		}
		if set, _, ok := mountFlags(word); long && ok {
			p.flags |= set
			continue
		}
		plain = append(plain, arg)
	}
	o, err := tool.Parse(plain, "t:o:BRMr", "types=t", "options=o")
	if err != nil {
		return nil, err
	}
	for letter, flag := range map[string]uintptr{"B": unix.MS_BIND, "R": unix.MS_BIND | unix.MS_REC, "M": unix.MS_MOVE, "r": unix.MS_RDONLY} {
		if o.Has(letter) {
			p.flags |= flag
		}
	}
	var data []string
	for word := range strings.SplitSeq(strings.Join(o.Values('o'), ","), ",") {
		set, clear, ok := mountFlags(word)
		_, spreads := propagationFlag(word)
		switch {
		case word == "":
		case spreads:
			p.propagation = set
		case ok:
			p.flags = p.flags&^clear | set
		default:
			data = append(data, word)
		}
	}
	p.kind, p.data = o.Value('t', ""), strings.Join(data, ",")
	switch {
	case len(o.Args) == 2:
		p.source, p.target = o.Args[0], o.Args[1]
	case len(o.Args) == 1 && (p.propagation != 0 || p.flags&unix.MS_REMOUNT != 0):
		p.target = o.Args[0]
	default:
		return nil, fmt.Errorf("usage: mount [-t TYPE] [-o OPTION,...] SOURCE TARGET")
	}
	return p, nil
}

// do makes the calls of a plan.
func (p *mountPlan) do() error {
	if p.source != "" || p.flags&unix.MS_REMOUNT != 0 {
		flags, readonlyBind := p.flags, false
		if flags&unix.MS_BIND != 0 && flags&unix.MS_REMOUNT == 0 {
			// mount(2) takes no other flag with a new bind mount: they are set by a second call.
			readonlyBind = flags&^(unix.MS_BIND|unix.MS_REC) != 0
			flags &= unix.MS_BIND | unix.MS_REC
		}
		if err := unix.Mount(p.source, p.target, p.kind, flags, p.data); err != nil {
			return err
		}
		if readonlyBind {
			if err := unix.Mount("", p.target, "", p.flags&^unix.MS_REC|unix.MS_REMOUNT, ""); err != nil {
				return err
			}
		}
	}
	if p.propagation != 0 {
		return unix.Mount("", p.target, "", p.propagation, "")
	}
	return nil
}

// Mount mounts, or lists what is mounted: mount [-t TYPE] [-o OPTION,…] [--bind|--rbind|--move] SOURCE TARGET, mount --make-[r]private TARGET.
func Mount(std tool.IO, args []string) int {
	if len(args) == 1 || len(args) == 3 && args[1] == "-t" {
		mounts, err := tool.ReadMounts()
		if err != nil {
			return std.Fail(args[0], err)
		}
		for _, m := range mounts {
			if len(args) == 1 || m.Type == args[2] {
				fmt.Fprintf(std.Out, "%s on %s type %s (%s)\n", m.Source, m.Point, m.Type, m.Options)
			}
		}
		return 0
	}
	p, err := parseMount(args[1:])
	if err != nil {
		return std.Fail(args[0], err)
	}
	if err := p.do(); err != nil {
		return std.Errorf(args[0], "%s on %s: %v", p.source, p.target, err)
	}
	return 0
}

// Umount unmounts: umount [-lf] TARGET…. -l hides the mount at once and drops it when nobody uses it any more; -R takes those below first.
func Umount(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "lfR", "lazy=l", "force=f", "recursive=R")
	if err == nil && len(o.Args) == 0 {
		err = fmt.Errorf("which mount?")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	flags := 0
	if o.Has("l") {
		flags |= unix.MNT_DETACH
	}
	if o.Has("f") {
		flags |= unix.MNT_FORCE
	}
	code := 0
	for _, target := range o.Args {
		for _, point := range pointsBelow(target, o.Has("R")) {
			if err := unix.Unmount(point, flags); err != nil {
				code = std.Fail(args[0], &os.PathError{Op: "umount", Path: point, Err: err})
			}
		}
	}
	return code
}

// pointsBelow is the mount points to unmount for a target, the deepest first.
func pointsBelow(target string, recursive bool) []string {
	points := []string{target}
	mounts, err := tool.ReadMounts()
	if err != nil || !recursive {
		return points
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Point, strings.TrimSuffix(target, "/")+"/") {
			points = append([]string{m.Point}, points...)
		}
	}
	return points
}
