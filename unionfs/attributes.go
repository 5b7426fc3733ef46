// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyAttributes gives the file to the owner, extended attributes, mode and times of the file from, and follows no symbolic link. It
// leaves out overlay's own attributes, and the label of SELinux.
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

// copyXattrs gives a file the extended attributes of another, and takes away those that the other has not, but leaves out overlay's.
func copyXattrs(from, to string) error {
	names, err := xattrNames(from)
	if err != nil {
		return fmt.Errorf("list the attributes of %s: %w", from, err)
	}
	had, err := xattrNames(to)
	if err != nil {
		return fmt.Errorf("list the attributes of %s: %w", to, err)
	}
	for _, name := range had {
		if slices.Contains(names, name) {
			continue
		}
		if err := unix.Lremovexattr(to, name); err != nil {
			return fmt.Errorf("remove attribute %s of %s: %w", name, to, err)
		}
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for _, name := range names {
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

// foreign says whether an attribute belongs to a driver, or to the host.
func foreign(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") || name == "security.selinux"
}

// xattrNames lists the names of a file's extended attributes, without foreign ones.
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
	names := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	return slices.DeleteFunc(names, foreign), nil
}
