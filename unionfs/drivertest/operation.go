// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Operation is something that a program does to a file system. The same one is done to a root and to a plain directory.
type Operation struct {
	Verb string // one of those in do
	Path string // below the root
	To   string // a second path, the target of a symbolic link, a content, or the name of an attribute
	N    int    // a mode, an owner, a size
}

// String shows it in one line.
func (o Operation) String() string { return fmt.Sprintf("%s %s %q %d", o.Verb, o.Path, o.To, o.N) }

// Do does it below a root.
func (o Operation) Do(root string) error {
	path, second := filepath.Join(root, o.Path), filepath.Join(root, o.To)
	switch o.Verb {
	case "mkdir":
		return os.Mkdir(path, 0o755)
	case "write": // over what is there, or new
		return write(path, unix.O_CREAT|unix.O_TRUNC, o.To)
	case "append":
		return write(path, unix.O_APPEND, o.To)
	case "change": // in the middle
		return write(path, unix.O_NOFOLLOW, o.To)
	case "truncate":
		return os.Truncate(path, int64(o.N))
	case "unlink":
		return unix.Unlink(path)
	case "rmdir":
		return unix.Rmdir(path)
	case "remove": // with all below
		if _, err := os.Lstat(path); err != nil { // os.RemoveAll would open, and wait for, a FIFO in the place of the folder
			return err
		}
		return os.RemoveAll(path)
	case "rename":
		return unix.Rename(path, second)
	case "link":
		return unix.Link(path, second)
	case "symlink":
		return unix.Symlink(o.To, path)
	case "fifo":
		return unix.Mkfifo(path, 0o640)
	case "device":
		return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(o.N))))
	}
	return o.attribute(path)
}

// attribute does those that change only attributes.
func (o Operation) attribute(path string) error {
	switch o.Verb {
	case "chmod":
		return unix.Chmod(path, uint32(o.N))
	case "chown":
		return unix.Lchown(path, o.N, o.N+1)
	case "setxattr":
		return unix.Lsetxattr(path, o.To, fmt.Append(nil, o.N), 0)
	case "removexattr":
		return unix.Lremovexattr(path, o.To)
	case "touch":
		at := unix.NsecToTimespec(longAgo().Add(-time.Duration(o.N) * time.Hour).UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return fmt.Errorf("unknown verb %s", o.Verb)
}

// write writes into a file. One that is a FIFO without a reader is an error, and nothing to wait for.
func write(path string, flags int, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK|flags, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
