// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyAttributes gives the file to the owner, extended attributes, mode and times of the file from, and follows no symbolic link. It
// leaves out overlay's own attributes, and those that the caller may not set in a user namespace.
func CopyAttributes(from, to string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(from, &stat); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	// The owner first: chown(2) takes away setuid bits and capabilities.
	if err := unix.Lchown(to, int(stat.Uid), int(stat.Gid)); err != nil {
		return fmt.Errorf("chown %s: %w", to, err)
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(unix.AT_FDCWD, to, stat.Mode&0o7777, 0); err != nil {
			return fmt.Errorf("chmod %s: %w", to, err)
		}
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{stat.Atim, stat.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set the times of %s: %w", to, err)
	}
	return nil
}

// copyXattrs copies the extended attributes but overlay's.
func copyXattrs(from, to string) error {
	names, err := xattrNames(from)
	if err != nil {
		return fmt.Errorf("list the attributes of %s: %w", from, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Lgetxattr(from, name, value)
		if err != nil {
			return fmt.Errorf("attribute %s of %s: %w", name, from, err)
		}
		if err := unix.Lsetxattr(to, name, value[:n], 0); err != nil {
			return fmt.Errorf("attribute %s of %s: %w", name, to, err)
		}
	}
	return nil
}

// xattrNames lists the names of a file's extended attributes.
func xattrNames(path string) ([]string, error) {
	n, err := unix.Llistxattr(path, nil)
	if err == unix.EOPNOTSUPP || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]byte, 64<<10) // XATTR_LIST_MAX
	if n, err = unix.Llistxattr(path, list); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 }), nil
}

// removeAll removes a tree also where its owner, who is not root, took himself the right to: overlay's work folder has mode 0.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(path, func(name string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			os.Chmod(name, 0o700) // what can't be changed can't be removed either, which the next call says
		}
		return nil
	})
	return os.RemoveAll(path)
}
