// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is a layer or a root file system: what each path is, in words. The root itself is left out, and of folders the times, which change
// with what is in them.
type tree map[string]string

// The words for files that take others away.
const (
	whiteout = "whiteout"
	opaque   = " opaque"
)

// treeOfTar reads an uncompressed layer.
func treeOfTar(r io.Reader) (tree, error) {
	found := tree{}
	archive := tar.NewReader(r)
	var hidden []string
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		base, is := strings.CutPrefix(path.Base(name), ".wh.")
		switch {
		case name == "":
		case is && base == ".wh..opq":
			hidden = append(hidden, path.Dir(name))
		case is:
			found[path.Join(path.Dir(name), base)] = whiteout
		case h.Typeflag == tar.TypeLink:
			found[name] = found[strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")]
		default:
			if found[name], err = wordsOfHeader(h, archive); err != nil {
				return nil, err
			}
		}
	}
	for _, dir := range hidden {
		found[dir] += opaque
	}
	return found, nil
}

// wordsOfHeader describes one entry of an archive.
func wordsOfHeader(h *tar.Header, content io.Reader) (string, error) {
	words := fmt.Sprintf("%04o %d:%d", h.Mode&0o7777, h.Uid, h.Gid)
	switch h.Typeflag {
	case tar.TypeDir:
		return "folder " + words, nil
	case tar.TypeSymlink:
		return "link to " + h.Linkname, nil
	case tar.TypeReg:
		sum := sha256.New()
		_, err := io.Copy(sum, content)
		return fmt.Sprintf("file %s %d %d %x", words, h.ModTime.Unix(), h.Size, sum.Sum(nil)), err
	}
	return fmt.Sprintf("type %c %s %d:%d", h.Typeflag, words, h.Devmajor, h.Devminor), nil
}

// treeOfFolder reads the folder of an unpacked layer, with overlay's marks, or one that has none.
func treeOfFolder(dir string) (tree, error) {
	found := tree{}
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		below, err := filepath.Rel(dir, name)
		if err == nil {
			found[below], err = wordsOfFile(name)
		}
		return err
	})
	return found, err
}

// wordsOfFile describes one file.
func wordsOfFile(name string) (string, error) {
	var s unix.Stat_t
	if err := unix.Lstat(name, &s); err != nil {
		return "", err
	}
	words := fmt.Sprintf("%04o %d:%d", s.Mode&0o7777, s.Uid, s.Gid)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		var value [1]byte
		if n, err := unix.Lgetxattr(name, "trusted.overlay.opaque", value[:]); err == nil && string(value[:n]) == "y" {
			words += opaque
		}
		return "folder " + words, nil
	case unix.S_IFLNK:
		target, err := os.Readlink(name)
		return "link to " + target, err
	case unix.S_IFREG:
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		return fmt.Sprintf("file %s %d %d %x", words, s.Mtim.Sec, s.Size, sum.Sum(nil)), err
	case unix.S_IFCHR:
		if s.Rdev == 0 {
			return whiteout, nil
		}
		return fmt.Sprintf("type %c %s %d:%d", tar.TypeChar, words, unix.Major(s.Rdev), unix.Minor(s.Rdev)), nil
	case unix.S_IFBLK:
		return fmt.Sprintf("type %c %s %d:%d", tar.TypeBlock, words, unix.Major(s.Rdev), unix.Minor(s.Rdev)), nil
	case unix.S_IFIFO:
		return fmt.Sprintf("type %c %s 0:0", tar.TypeFifo, words), nil
	}
	return fmt.Sprintf("mode %o", s.Mode), nil
}

// apply lays a layer over a root file system.
func (t tree) apply(layer tree) {
	for name, words := range layer {
		if words == whiteout || !strings.HasPrefix(words, "folder ") || strings.HasSuffix(words, opaque) {
			for old := range t {
				if strings.HasPrefix(old, name+"/") {
					delete(t, old)
				}
			}
		}
		if words == whiteout {
			delete(t, name)
		}
	}
	for name, words := range layer {
		if words != whiteout {
			t[name] = strings.TrimSuffix(words, opaque)
		}
	}
}
