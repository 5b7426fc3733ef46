// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// directory is one that Unpack made. It gets its attributes in the end: before, new files would change its times, and its mode or
// its default access control list could get in their way.
type directory struct {
	path string
	attributes
	implicit bool // has no entry
	opaque   bool // hides what is below
	gone     bool // was removed again
}

// errNoDirectory says that an entry is in something else than a directory.
var errNoDirectory = errors.New("it is no directory")

// directories are those that Unpack made, in that order: none comes before the one it is in.
type directories struct {
	all   []directory
	byID  map[string]int
	bytes int // of all paths
}

// addDirectory remembers a new directory with the attributes that one without an entry has.
func (u *unpacker) addDirectory(path string, opaque bool) error {
	if err := inBounds(path); err != nil { // a symbolic link may lead deeper than the entry's name does
		return err
	}
	if u.dirs.bytes += len(path); u.dirs.bytes > u.o.Limits.Paths {
		return fmt.Errorf("the paths of the layer's directories have more than %d bytes", u.o.Limits.Paths)
	}
	d := directory{path: path, implicit: true, opaque: opaque}
	d.mode = 0o755
	d.times = [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	var err error
	if !u.o.SkipOwners {
		if d.uid, err = outside(u.o.UIDs, 0); err != nil {
			return err
		}
		if d.gid, err = outside(u.o.GIDs, 0); err != nil {
			return err
		}
	}
	if i, ok := u.dirs.byID[path]; ok {
		u.dirs.all[i].gone = true
	}
	u.dirs.byID[path] = len(u.dirs.all)
	u.dirs.all = append(u.dirs.all, d)
	return nil
}

// makeDirectory makes a directory, and all above it, unless it is there.
func (u *unpacker) makeDirectory(path string) (place, error) {
	p, err := u.tree.directory(path)
	if err == nil || err != unix.ENOENT && err != unix.ENOTDIR {
		return p, err
	}
	above, base := split(path)
	parent, err := u.makeDirectory(above)
	if err != nil {
		return place{}, err
	}
	if err := u.count(); err != nil {
		return place{}, err
	}
	if err := u.mkdir(parent, base); err != nil {
		return place{}, err
	}
	return u.tree.directory(join(parent.path, base))
}

// mkdir makes a directory without an entry. In the place of a whiteout it hides what the whiteout did.
func (u *unpacker) mkdir(parent place, base string) error {
	err := unix.Mkdirat(parent.fd, base, 0o700)
	if err == nil {
		return u.addDirectory(join(parent.path, base), false)
	}
	if err != unix.EEXIST {
		return fmt.Errorf("make its directory %s: %w", shown(base), err)
	}
	var s unix.Stat_t
	if err := unix.Fstatat(parent.fd, base, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch {
	case isWhiteout(&s):
		if err := unix.Unlinkat(parent.fd, base, 0); err != nil {
			return err
		}
		if err := unix.Mkdirat(parent.fd, base, 0o700); err != nil {
			return err
		}
		return u.addDirectory(join(parent.path, base), true)
	case s.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("the symbolic link %s in its path leads nowhere", shown(base))
	case s.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s in its path: %w", shown(base), errNoDirectory)
	}
	return nil
}

// finishDirectories gives all directories their attributes, those in others first.
func (u *unpacker) finishDirectories() error {
	for i := len(u.dirs.all) - 1; i >= 0; i-- {
		d := &u.dirs.all[i]
		if d.gone {
			continue
		}
		u.name = d.path
		if err := u.finishDirectory(d); err != nil {
			return fmt.Errorf("layer directory %s: %w", shown(d.path), err)
		}
	}
	for _, d := range u.dirs.all {
		if d.implicit && !d.gone && (!d.opaque || d.path == "") { // the root shows whatever it hides
			u.result.Implicit = append(u.result.Implicit, d.path)
		}
	}
	return nil
}

// finishDirectory gives a directory its attributes, if it wasn't removed with the one it was in.
func (u *unpacker) finishDirectory(d *directory) error {
	fd, err := u.tree.open(d.path, unix.O_RDONLY|unix.O_DIRECTORY, false)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		d.gone = true
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if d.opaque {
		if err := unix.Fsetxattr(fd, u.o.overlay("opaque"), []byte("y"), 0); err != nil {
			return fmt.Errorf("set %s: %w: the file system must have extended attributes", u.o.overlay("opaque"), err)
		}
	}
	return u.applyDirectory(fd, &d.attributes)
}

// clear removes what is in the way of an entry, with all that is in it.
func (u *unpacker) clear(dir place, base string) error {
	path := join(dir.path, base)
	err := unix.Unlinkat(dir.fd, base, 0)
	if err == unix.EISDIR {
		u.tree.forget(path)
		if i, ok := u.dirs.byID[path]; ok {
			u.dirs.all[i].gone = true
			delete(u.dirs.byID, path)
		}
		return removeAll(dir, base)
	}
	return err
}

// removeAll removes a directory.
func removeAll(dir place, base string) (err error) {
	root, err := os.OpenRoot(descriptor(dir.fd))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return root.RemoveAll(base)
}

// isWhiteout says whether a file is one of overlay's whiteouts.
func isWhiteout(s *unix.Stat_t) bool {
	return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == 0
}

// join adds a name to a relative path.
func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}
