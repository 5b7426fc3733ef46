// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// attributes are what a file has besides its kind and content, with numbers as on disk.
type attributes struct {
	uid, gid uint32
	mode     uint32 // permissions with setuid, setgid and sticky bits
	times    [2]unix.Timespec
	xattrs   []xattr
}

// attributesOf reads those of an entry. Who has no time of access was last read when it was written.
func attributesOf(h *tar.Header, o *Options) (attributes, error) {
	a := attributes{mode: uint32(h.Mode) & 0o7777}
	var err error
	if !o.SkipOwners {
		if a.uid, err = outside(o.UIDs, h.Uid); err != nil {
			return a, fmt.Errorf("user: %w", err)
		}
		if a.gid, err = outside(o.GIDs, h.Gid); err != nil {
			return a, fmt.Errorf("group: %w", err)
		}
	}
	accessed := h.AccessTime
	if accessed.IsZero() {
		accessed = h.ModTime
	}
	a.times = [2]unix.Timespec{timespec(accessed), timespec(h.ModTime)}
	a.xattrs, err = xattrsOf(h, o)
	return a, err
}

// timespec is a time as the kernel takes it.
func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}

// owner is who new files belong to, so that chown is left out where it would change nothing.
type owner struct {
	uid, gid uint32
	known    bool // false where a new file may get its group from its directory
}

// newOwner finds out who new files in a folder belong to. Directories in it get their setgid bits last.
func newOwner(fd int) (owner, error) {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return owner{}, err
	}
	o := owner{uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid())}
	o.known = s.Gid == o.gid
	return o, nil
}

// is says whether a new file need not be given to the owner of these attributes.
func (o owner) is(a *attributes) bool { return o.known && o.uid == a.uid && o.gid == a.gid }

// applyFile gives an open regular file its attributes: the owner first, since that takes away setuid bits and capabilities.
func (u *unpacker) applyFile(fd int, dir place, base string, a *attributes) error {
	if !u.o.SkipOwners && !u.owner.is(a) {
		if err := unix.Fchown(fd, int(a.uid), int(a.gid)); err != nil {
			return chownError(a, err)
		}
	}
	if err := unix.Fchmod(fd, a.mode); err != nil {
		return fmt.Errorf("chmod %#o: %w", a.mode, err)
	}
	for _, x := range a.xattrs {
		if err := u.xattr(x, unix.Fsetxattr(fd, x.name, x.value, 0)); err != nil {
			return err
		}
	}
	return setTimes(dir.fd, base, a)
}

// applyDirectory gives an open directory its attributes. The mode comes last: it may forbid us to look into it.
func (u *unpacker) applyDirectory(fd int, a *attributes) error {
	if !u.o.SkipOwners && !u.owner.is(a) {
		if err := unix.Fchown(fd, int(a.uid), int(a.gid)); err != nil {
			return chownError(a, err)
		}
	}
	for _, x := range a.xattrs {
		if err := u.xattr(x, unix.Fsetxattr(fd, x.name, x.value, 0)); err != nil {
			return err
		}
	}
	if a.times[1].Nsec != unix.UTIME_OMIT {
		if err := setTimes(fd, ".", a); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, a.mode); err != nil {
		return fmt.Errorf("chmod %#o: %w", a.mode, err)
	}
	return nil
}

// applyNode gives a file that can't be opened its attributes: a link, which has no mode, a device or a fifo. The file is ours and
// new, so its name leads to it.
func (u *unpacker) applyNode(dir place, base string, a *attributes, link bool) error {
	if !u.o.SkipOwners && !u.owner.is(a) {
		if err := unix.Fchownat(dir.fd, base, int(a.uid), int(a.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return chownError(a, err)
		}
	}
	if !link {
		if err := unix.Fchmodat(dir.fd, base, a.mode, 0); err != nil {
			return fmt.Errorf("chmod %#o: %w", a.mode, err)
		}
	}
	for _, x := range a.xattrs {
		if err := u.xattr(x, unix.Lsetxattr(dir.file(base), x.name, x.value, 0)); err != nil {
			return err
		}
	}
	return setTimes(dir.fd, base, a)
}

// setTimes sets the times of access and modification of a file.
func setTimes(dir int, base string, a *attributes) error {
	if err := unix.UtimesNanoAt(dir, base, a.times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// chownError says what to do where the kernel refuses an owner.
func chownError(a *attributes, err error) error {
	if err == unix.EPERM || err == unix.EINVAL {
		return fmt.Errorf("chown to %d:%d: %w: be root, or in a user namespace that has these numbers", a.uid, a.gid, err)
	}
	return fmt.Errorf("chown to %d:%d: %w", a.uid, a.gid, err)
}

// xattr judges the kernel's answer to an extended attribute: some file systems have none, and some names are root's.
func (u *unpacker) xattr(x xattr, err error) error {
	switch {
	case err == nil:
		return nil
	case err == unix.ENOTSUP, err == unix.EPERM && u.o.UserXattr:
		u.o.notice(u.name, "extended attribute "+shown(x.name)+": "+err.Error())
		return nil
	}
	return fmt.Errorf("set extended attribute %s: %w", shown(x.name), err)
}
