// SPDX-License-Identifier: Apache-2.0

package container

import (
	"path"
	"slices"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"

	"stave/chroot"
)

// lent is a mount of a container that shows a part of the host. CRIU calls it external: it writes down that it was there, and
// binds what it is told at the restore.
type lent struct {
	inside, outside string
	file, recursive bool
}

// lent lists the mounts that show a part of the host, in the order in which they are made.
func (p *planner) lent() ([]lent, error) {
	mounts, err := p.mounts()
	if err != nil {
		return nil, err
	}
	var list []lent
	for _, m := range mounts {
		if m.Options.Flags&unix.MS_BIND != 0 && m.Options.Flags&unix.MS_REMOUNT == 0 {
			list = append(list, lent{path.Clean(m.Target), m.Source, m.File, m.Options.Flags&unix.MS_REC != 0})
		}
	}
	if !p.bindsDevices() {
		return list, nil
	}
	devices, err := p.devices()
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		list = append(list, lent{inside: d.Path, outside: d.Path, file: true})
	}
	for _, masked := range p.spec.Linux.MaskedPaths { // a file is hidden by the host's /dev/null, then
		list = append(list, lent{inside: path.Clean("/" + masked), outside: "/dev/null", file: true})
	}
	return list, nil
}

// places lists where the configuration has mounts.
func places(mounts []chroot.MountPoint) []string {
	var list []string
	for _, m := range mounts {
		list = append(list, path.Clean(m.Target))
	}
	return list
}

// mountPoints lists the mount points of a text of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
//
//	29 24 254:0 / /mnt rw,relatime shared:12 - ext4 /dev/vda rw
//	              5
func mountPoints(mountinfo string) []string {
	var list []string
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 {
			list = append(list, unescapePath(fields[4]))
		}
	}
	return list
}

// mountIDs lists the numbers of the mounts of such a text, its first field.
func mountIDs(mountinfo string) []string {
	var list []string
	for line := range strings.Lines(mountinfo) {
		id, _, _ := strings.Cut(line, " ")
		list = append(list, id)
	}
	return list
}

// unescapePath undoes the kernel's spelling of a path in mountinfo.
func unescapePath(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// below tells what of a path comes after a folder, and whether it lies in it.
func below(name, folder string) (string, bool) {
	if folder == "/" {
		return name, name != "/"
	}
	rest, ok := strings.CutPrefix(name, folder)
	return rest, ok && strings.HasPrefix(rest, "/")
}

// withMountsInside adds to what a container is lent the mounts that came with it: those that a container has below a
// recursive bind, where the configuration has none.
func withMountsInside(list []lent, points, planned []string) []lent {
	all := slices.Clone(list)
	for _, point := range points {
		if slices.Contains(planned, point) {
			continue
		}
		for _, l := range slices.Backward(list) {
			if rest, ok := below(point, l.inside); ok && l.recursive {
				all = append(all, lent{inside: point, outside: l.outside + rest})
				break
			}
		}
	}
	return all
}

// withMountsOutside does the same by the mounts of the host, for a container that is not there yet.
func withMountsOutside(list []lent, points []string) []lent {
	all := slices.Clone(list)
	for _, l := range list {
		for _, point := range points {
			if rest, ok := below(point, l.outside); ok && l.recursive {
				all = append(all, lent{inside: path.Join(l.inside, rest), outside: point})
			}
		}
	}
	return all
}

// externals is the form in which CRIU gets them. Of what is written into images, outside is the name; it is the place in the
// container, which need not change.
func externals(list []lent, restore bool) []*rpc.ExtMountMap {
	var maps []*rpc.ExtMountMap
	for _, l := range list {
		value := l.inside
		if restore {
			value = l.outside
		}
		maps = append(maps, &rpc.ExtMountMap{Key: new(l.inside), Val: new(value)})
	}
	return maps
}
