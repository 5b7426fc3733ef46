// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Snapshot is a tree as text: by path, one line with all that stat(2) and the extended attributes tell, and the digest of the content.
type Snapshot map[string]string

// longAgo is a time that all times which the suite sets lie before, and all that the machine sets behind.
func longAgo() time.Time { return time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC) }

// Look reads a tree. Times that the machine set are "now", unless exact.
func Look(t testing.TB, root string, exact bool) Snapshot {
	t.Helper()
	s := Snapshot{}
	first := map[uint64]string{} // by inode number: the first name of a file with several
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s[name], err = describe(path, name, first, exact)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// describe is one line about a file.
func describe(path, name string, first map[uint64]string, exact bool) (string, error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return "", err
	}
	words := []string{fmt.Sprintf("%o %d:%d", stat.Mode, stat.Uid, stat.Gid), moment(stat.Mtim, exact)}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		words = append(words, fmt.Sprintf("%d bytes %x", stat.Size, sha256.Sum256(content)))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		words = append(words, "-> "+target)
	case unix.S_IFCHR, unix.S_IFBLK:
		words = append(words, fmt.Sprintf("device %d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev)))
	}
	if other, found := first[stat.Ino]; found && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		words = append(words, "same as "+other)
	} else {
		first[stat.Ino] = name
	}
	attributes, err := xattrs(path)
	return strings.Join(append(words, attributes...), ", "), err
}

// moment shows a time.
func moment(at unix.Timespec, exact bool) string {
	m := time.Unix(at.Sec, at.Nsec).UTC()
	if !exact && m.After(longAgo()) {
		return "now"
	}
	return m.Format(time.RFC3339Nano)
}

// xattrs lists the extended attributes, without those of drivers.
func xattrs(path string) ([]string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("attributes of %s: %w", path, err)
	}
	found := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "" || strings.Contains(name, ".overlay.") || strings.Contains(name, ".fuseoverlayfs.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s of %s: %w", name, path, err)
		}
		found[name] = fmt.Sprintf("%s=%q", name, value[:n])
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		lines = append(lines, found[name])
	}
	return lines, nil
}
