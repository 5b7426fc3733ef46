// SPDX-License-Identifier: Apache-2.0

package union

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// view is a tree to be described.
type view interface {
	fs.ReadDirFS
	fs.ReadLinkFS
	attributes(name string) (map[string]string, error)
}

// seen is a folder as the kernel shows it.
type seen struct {
	fs.FS
	path string
}

// look is a view of a folder.
func look(folder string) seen { return seen{os.DirFS(folder), folder} }

func (s seen) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(s.FS, name) }
func (s seen) ReadLink(name string) (string, error)       { return fs.ReadLink(s.FS, name) }
func (s seen) Lstat(name string) (fs.FileInfo, error)     { return fs.Lstat(s.FS, name) }
func (s seen) attributes(name string) (map[string]string, error) {
	file := filepath.Join(s.path, name)
	list := make([]byte, 4096)
	n, err := unix.Llistxattr(file, list)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, attribute := range strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 }) {
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(file, attribute, value)
		if err != nil {
			return nil, err
		}
		all[attribute] = string(value[:n])
	}
	return all, nil
}

func (u ours) attributes(name string) (map[string]string, error) {
	list, err := u.Listxattr(name)
	all := map[string]string{}
	for _, attribute := range list {
		value, err := u.Getxattr(name, attribute)
		if err != nil {
			return nil, err
		}
		all[attribute] = string(value)
	}
	return all, err
}

// snapshot describes a tree, a line for each name.
type snapshot map[string]string

// describeTree describes a tree. Which names are hard links of each other can be told of real folders alone: the kernel's overlay gives
// two of them different inode numbers when one was copied up, until it is mounted again.
func describeTree(v view) (snapshot, error) {
	s := snapshot{}
	var links map[[2]uint64]string // by device and inode: the first name
	if folder, ok := v.(seen); ok && !strings.HasPrefix(folder.path, "/proc/") {
		links = map[[2]uint64]string{}
	}
	return s, s.add(v, ".", links)
}

// add describes a name and, if it is a folder, what is in it.
func (s snapshot) add(v view, name string, links map[[2]uint64]string) error {
	info, err := v.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) { // the kernel lists a whiteout where only one layer has the folder
		return nil
	}
	if err != nil {
		return err
	}
	if s[name], err = describe(v, name, info, links); err != nil || !info.IsDir() {
		return err
	}
	entries, err := v.ReadDir(name)
	for _, entry := range entries {
		err = errors.Join(err, s.add(v, path.Join(name, entry.Name()), links))
	}
	return err
}

// describe describes one name: all that users of the tree can see, but for numbers and times that are never the same.
func describe(v view, name string, info fs.FileInfo, links map[[2]uint64]string) (string, error) {
	stat := info.Sys().(*syscall.Stat_t)
	if stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0 {
		return "whiteout", nil
	}
	text := fmt.Sprintf("%o %d:%d", stat.Mode, stat.Uid, stat.Gid)
	if when := info.ModTime(); when.Before(time.Unix(1_500_000_000, 0)) {
		text += fmt.Sprint(" ", when.UnixNano())
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := fs.ReadFile(v, name)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(" %d %x", stat.Size, sha256.Sum256(content))
	case unix.S_IFLNK:
		target, err := v.ReadLink(name)
		if err != nil {
			return "", err
		}
		text += " -> " + target
	case unix.S_IFCHR:
		text += fmt.Sprint(" ", stat.Rdev)
	}
	if !info.IsDir() && stat.Nlink > 1 {
		text += fmt.Sprintf(" %d links", stat.Nlink)
		if key := [2]uint64{uint64(stat.Dev), stat.Ino}; links != nil {
			if links[key] == "" {
				links[key] = name
			}
			text += ", the first " + links[key]
		}
	}
	attributes, err := v.attributes(name)
	for attribute, value := range attributes {
		if bookkeeping(attribute) {
			delete(attributes, attribute)
			continue
		}
		attributes[attribute] = fmt.Sprintf("%q", value)
	}
	if len(attributes) > 0 {
		text += fmt.Sprint(" ", attributes) // printed in order
	}
	return text, err
}

// bookkeeping tells whether an attribute is for the kernel's overlay alone: it makes inode numbers last.
func bookkeeping(attribute string) bool {
	_, rest, ours := strings.Cut(attribute, ".overlay.")
	return ours && slices.Contains([]string{"origin", "impure", "nlink", "uuid", "upper", "protattr"}, rest)
}
