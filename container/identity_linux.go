// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"fmt"
	"io"
	"os"
	osuser "os/user"
	"strconv"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/security"
)

// lookUser finds a user by the names of the root folder's own passwd and group files.
func lookUser(root, name string) (u specs.User, home string, err error) {
	passwd, err := readInside(root, "etc/passwd")
	if err != nil {
		return u, "", err
	}
	group, err := readInside(root, "etc/group")
	if err != nil {
		return u, "", err
	}
	return security.LookUser(name, passwd, group)
}

// readInside reads a small file of a root folder. The path is resolved inside it (openat2(2),
// RESOLVE_IN_ROOT): an image whose passwd is a link to the host's reads its own. A file that is not
// there reads as empty.
func readInside(root, name string) (io.Reader, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("root folder %s: %w", root, err)
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, name, &how)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return bytes.NewReader(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", name, root, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s in %s is not a regular file", name, root)
	}
	const limit = 1 << 20 // an image decides how large it is
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return bytes.NewReader(data), err
}

// userNamespace gives the configuration a user namespace, where it is asked for or the caller is not
// root. Root of the container is then an ordinary user of the host: the caller himself, or the first
// id of the range that /etc/subuid gives root.
func (s Settings) userNamespace(spec *specs.Spec) error {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 && !s.UserNamespace {
		return nil
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	uids, gids := subordinate(uid)
	if uid == 0 {
		spec.Linux.UIDMappings, spec.Linux.GIDMappings = orElse(uids), orElse(gids)
		return nil
	}
	spec.Linux.UIDMappings = ownThen(uid, uids)
	spec.Linux.GIDMappings = ownThen(gid, gids)
	if len(uids) == 0 || len(gids) == 0 || !hasHelper("newuidmap") || !hasHelper("newgidmap") {
		if u := spec.Process.User; u.UID != 0 || u.GID != 0 {
			return fmt.Errorf("user %d:%d: an ordinary user without ranges in /etc/subuid and /etc/subgid can be root of the container only; stave doctor says more", u.UID, u.GID)
		}
		onlySelf(spec, uid, gid)
		if u := &spec.Process.User; len(u.AdditionalGids) == 1 { // the first group again; setgroups(2) is denied
			u.AdditionalGids = nil
		}
	}
	return nil
}

// orElse returns the first of root's own ranges, and where he has none the 65,536 ids from 100,000 on,
// which useradd(8) gives the first user who gets any.
func orElse(list []specs.LinuxIDMapping) []specs.LinuxIDMapping {
	if len(list) > 0 {
		return list[:1]
	}
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100_000, Size: 65_536}}
}

// ownThen maps 0 to the caller's own id and the ids from 1 on to his subordinate ones.
func ownThen(id int, ranges []specs.LinuxIDMapping) []specs.LinuxIDMapping {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(id), Size: 1}}
	next := uint32(1)
	for _, r := range ranges {
		maps = append(maps, specs.LinuxIDMapping{ContainerID: next, HostID: r.HostID, Size: r.Size})
		next += r.Size
	}
	return maps
}

// onlySelf maps the caller's own two ids alone, and takes out of the configuration what needs more.
func onlySelf(spec *specs.Spec, uid, gid int) {
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = ownThen(uid, nil), ownThen(gid, nil)
	for i, m := range spec.Mounts {
		if m.Type == "devpts" {
			spec.Mounts[i].Options = withoutIDs(m.Options)
		}
	}
}

// subordinate returns the ranges of a user in /etc/subuid and /etc/subgid (subuid(5)), which may name
// him by name or number.
func subordinate(uid int) (uids, gids []specs.LinuxIDMapping) {
	keys := []string{strconv.Itoa(uid)}
	if u, err := osuser.LookupId(keys[0]); err == nil {
		keys = append(keys, u.Username)
	}
	return ranges("/etc/subuid", keys), ranges("/etc/subgid", keys)
}

// ranges reads one of the two files. A file that is not there gives nothing.
func ranges(file string, keys []string) []specs.LinuxIDMapping {
	var list []specs.LinuxIDMapping
	found, err := user.ParseSubIDFileFilter(file, func(r user.SubID) bool { return r.Name == keys[0] || r.Name == keys[len(keys)-1] })
	if err != nil {
		return nil
	}
	for _, r := range found {
		if r.SubID >= 0 && r.Count > 0 && r.SubID+r.Count <= 1<<32-1 {
			list = append(list, specs.LinuxIDMapping{HostID: uint32(r.SubID), Size: uint32(r.Count)})
		}
	}
	return list
}

// MappedRoot returns the ids of the host that root has in a user namespace that the settings of a
// caller who is root give.
func MappedRoot() (uid, gid int) {
	uids, gids := subordinate(0)
	return int(orElse(uids)[0].HostID), int(orElse(gids)[0].HostID)
}

// userName is the name of a user of this machine, or his number.
func userName(uid int) string {
	passwd, err := kernel.Open("/etc/passwd", unix.O_RDONLY, 0)
	if err != nil {
		return strconv.Itoa(uid)
	}
	defer passwd.Close()
	return security.UserName(uid, passwd)
}
