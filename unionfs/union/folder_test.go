// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// theirs does operations with the kernel's calls on a folder, which symbolic links treat as the root: a layer, a plain folder,
// or an overlay.
type theirs struct{ root *os.File }

// openFolder opens a folder as a tree.
func openFolder(name string) (theirs, error) {
	root, err := os.Open(name)
	return theirs{root}, err
}

// open opens a name below the root. When another program renames or mounts something meanwhile, openat2(2) may want to be asked again about
// a name with "..".
func (f theirs) open(name string, flags, mode int) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Mode: uint64(mode), Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(int(f.root.Fd()), name, &how)
	for errors.Is(err, unix.EAGAIN) {
		fd, err = unix.Openat2(int(f.root.Fd()), name, &how)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// at opens the folder of a name.
func (f theirs) at(name string, do func(dir int, base string) error) error {
	dir, err := f.open(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(int(dir.Fd()), path.Base(name))
}

// with opens what a name leads to, as a mere reference.
func (f theirs) with(name string, flags int, do func(file *os.File, self string) error) error {
	file, err := f.open(name, unix.O_PATH|flags, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return do(file, fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
}

// both opens the folders of two names.
func (f theirs) both(o operation, do func(from int, old string, to int, name string) error) error {
	return f.at(o.name, func(from int, old string) error {
		return f.at(o.other, func(to int, name string) error { return do(from, old, to, name) })
	})
}

func (f theirs) do(o operation) error {
	switch o.kind {
	case "write", "exclusive", "open", "hole":
		return f.write(o)
	case "rename":
		return f.both(o, unix.Renameat)
	case "link":
		return f.with(o.name, unix.O_NOFOLLOW, func(*os.File, string) error { // link(2) wants what there is first
			return f.both(o, func(from int, old string, to int, name string) error { return unix.Linkat(from, old, to, name, 0) })
		})
	case "mkdir", "unlink", "rmdir", "symlink", "fifo", "device", "whiteout":
		return f.at(o.name, func(dir int, base string) error { return entry(o, dir, base) })
	case "chmod", "truncate":
		return f.with(o.name, 0, func(_ *os.File, self string) error { return change(o, nil, self) })
	}
	return f.with(o.name, unix.O_NOFOLLOW, func(file *os.File, self string) error { return change(o, file, self) })
}

// entry does what changes a folder.
func entry(o operation, dir int, base string) error {
	switch o.kind {
	case "mkdir":
		return unix.Mkdirat(dir, base, uint32(o.number))
	case "unlink":
		return unix.Unlinkat(dir, base, 0)
	case "rmdir":
		return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
	case "symlink":
		return unix.Symlinkat(o.other, dir, base)
	case "fifo":
		return unix.Mknodat(dir, base, unix.S_IFIFO|0o600, 0)
	case "device":
		return unix.Mknodat(dir, base, unix.S_IFCHR|0o600, int(unix.Mkdev(4000, 1)))
	case "whiteout":
		return unix.Mknodat(dir, base, unix.S_IFCHR, 0)
	}
	panic(o.kind)
}

// change does what changes a file or folder itself.
func change(o operation, file *os.File, self string) error {
	switch o.kind {
	case "chmod":
		return unix.Chmod(self, uint32(o.number))
	case "truncate":
		return unix.Truncate(self, int64(o.number))
	case "chown":
		return unix.Fchownat(int(file.Fd()), "", o.number, o.number+1, unix.AT_EMPTY_PATH)
	case "times":
		at, _ := unix.TimeToTimespec(stamp(o.number))
		return unix.UtimesNanoAt(int(file.Fd()), "", []unix.Timespec{at, at}, unix.AT_EMPTY_PATH)
	case "attribute":
		return unix.Setxattr(self, o.other, []byte{byte(o.number)}, 0)
	case "acl":
		return unix.Setxattr(self, "system.posix_acl_default", []byte(acl), 0)
	case "remove":
		return unix.Removexattr(self, o.other)
	case "opaque":
		return unix.Setxattr(self, o.other, []byte("y"), 0)
	}
	panic(o.kind)
}

// write opens a file, or makes it, and writes to it.
func (f theirs) write(o operation) error {
	flags, known := openFlags[o.kind]
	if !known { // a place in a file that is only appended to can't be chosen
		flags = openFlags["write"] &^ unix.O_APPEND
	}
	mode := o.number
	if flags&unix.O_CREAT == 0 {
		mode = 0
	}
	file, err := f.open(o.name, flags, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	if o.kind == "hole" { // data, a hole, data, a hole
		_, err = file.WriteAt([]byte("far"), 300_000)
		err = errors.Join(err, file.Truncate(1_000_000))
	}
	_, write := file.WriteString(o.String())
	return errors.Join(err, write)
}
