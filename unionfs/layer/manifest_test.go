// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// manifest describes all files of a tree by what the kernel says of them: kind, mode, owners, names, device, size,
// modification time, extended attributes, and content.
func manifest(t testing.TB, root string) map[string]string {
	t.Helper()
	lines, names := map[string]string{}, map[uint64][]string{}
	must(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		lines[name] = describe(t, path, name, names)
		return nil
	}))
	for _, group := range names {
		for _, name := range group {
			lines[name] += fmt.Sprintf(" names=%q", group)
		}
	}
	return lines
}

// describe is the manifest's line of one file.
func describe(t testing.TB, path, name string, names map[uint64][]string) string {
	t.Helper()
	var s unix.Stat_t
	must(t, unix.Lstat(path, &s))
	var line strings.Builder
	fmt.Fprintf(&line, "%#o %d:%d", s.Mode, s.Uid, s.Gid)
	if name != "." {
		fmt.Fprintf(&line, " %d.%09d", s.Mtim.Sec, s.Mtim.Nsec)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		names[s.Ino] = append(names[s.Ino], name)
	}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(path)
		must(t, err)
		fmt.Fprintf(&line, " size=%d %x", s.Size, sha256.Sum256(content))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		must(t, err)
		line.WriteString(" -> " + target)
	case unix.S_IFCHR, unix.S_IFBLK:
		fmt.Fprintf(&line, " device=%d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	}
	for _, name := range xattrNames(t, path) {
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		must(t, err)
		fmt.Fprintf(&line, " %s=%x", name, value[:n])
	}
	return line.String()
}

// xattrNames lists a file's extended attributes, except the host's own.
func xattrNames(t testing.TB, path string) []string {
	t.Helper()
	buffer := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, buffer)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	must(t, err)
	var names []string
	for name := range strings.SplitSeq(string(buffer[:n]), "\x00") {
		if name != "" && name != "security.selinux" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// entry is a tar entry for a test.
type entry struct {
	name    string
	kind    byte // a regular file if 0
	content string
	link    string
	header  func(*tar.Header)
}

// archive makes a tar archive.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.content)), Mode: 0o644, Uid: os.Geteuid(), Gid: os.Getegid()}
		switch e.kind {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeDir:
			h.Mode = 0o755
		}
		if e.header != nil {
			e.header(h)
		}
		must(t, w.WriteHeader(h))
		_, err := w.Write([]byte(e.content))
		must(t, err)
	}
	must(t, w.Close())
	return buffer.Bytes()
}

// unpack unpacks an archive into a new folder.
func unpack(t testing.TB, data []byte, o Options) (string, Result) {
	t.Helper()
	dir := t.TempDir()
	result, err := Unpack(context.Background(), dir, bytes.NewReader(data), o)
	must(t, err)
	return dir, result
}

// pack packs a folder.
func pack(t testing.TB, dir string, o Options) []byte {
	t.Helper()
	var buffer bytes.Buffer
	must(t, Pack(context.Background(), &buffer, dir, o))
	return buffer.Bytes()
}

// write makes a file with directories above it.
func write(t testing.TB, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o644))
}
