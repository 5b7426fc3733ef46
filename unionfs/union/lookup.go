// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// node is something of the union: a file, or a folder that may have parts in several layers.
type node struct {
	parent *node // nil for the root
	name   string
	parts  []part // the top first; more than one only of a folder
}

// part is what one layer has for a node.
type part struct {
	depth int      // the index of the layer; 0 is the top
	file  *os.File // a mere reference (O_PATH), never followed where it is a symbolic link
	info  fs.FileInfo
	mark  string // of a folder: "y" if it is opaque
}

// path is the name of a node from the root, free of symbolic links.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	return path.Join(n.parent.path(), n.name)
}

// info is what the union shows of a node: that of the topmost part.
func (n *node) info() fs.FileInfo { return n.parts[0].info }

// lookup finds a name in a folder: the parts from the top down, until something says that what is below does not count.
func (w *walk) lookup(dir *node, name string) (*node, error) {
	n := &node{parent: dir, name: name}
	if known := w.known[n.path()]; known != nil {
		return known, nil
	}
	var err error
	var seen []string
	n.parts, err = w.find(dir.parts, name, &seen)
	w.trace("  look up %s: %s", n.path(), strings.Join(seen, ", "))
	if err == nil {
		w.known[n.path()] = n
	}
	return n, err
}

// find collects the parts that make up a name. Without any the error is ENOENT.
func (w *walk) find(folders []part, name string, seen *[]string) ([]part, error) {
	var parts []part
	for _, folder := range folders {
		p, err := w.openPart(folder, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, err
		}
		what, last := w.judge(p, len(parts) > 0)
		*seen = append(*seen, w.layers[p.depth].name+" has "+what)
		if what != whiteout && (p.info.IsDir() || len(parts) == 0) {
			parts = append(parts, p)
		}
		if last {
			break
		}
	}
	if len(parts) == 0 {
		*seen = append(*seen, "so it is not there")
		return nil, unix.ENOENT
	}
	return parts, nil
}

// whiteout is the word for the mark of something that was removed.
const whiteout = "a whiteout"

// judge says what a part is, and whether the lookup ends with it. Below a folder only folders count.
func (w *walk) judge(p part, merging bool) (what string, last bool) {
	switch {
	case w.isWhiteout(p):
		return whiteout, true
	case !p.info.IsDir() && merging:
		return "a file that the folder above covers", true
	case !p.info.IsDir():
		return "it", true
	case p.mark == "y":
		return "it, opaque", true
	}
	return "it as a folder", false
}

// isWhiteout knows both forms: the device 0:0, and an empty file with an attribute (Linux 6.7). The latter is for layers that are
// themselves stored in an overlay, which does not show the former.
func (w *walk) isWhiteout(p part) bool {
	switch stat := p.info.Sys().(*syscall.Stat_t); stat.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return stat.Rdev == 0
	case unix.S_IFREG:
		_, err := getxattr(p.file, w.prefix+"whiteout")
		return stat.Size == 0 && err == nil
	}
	return false
}

// openPart opens what a layer has under a name of a folder, whatever it is. A symbolic link is opened itself; a mount is no part of a layer.
func (w *walk) openPart(folder part, name string) (part, error) {
	fd, err := unix.Openat2(int(folder.file.Fd()), name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return part{}, err
	}
	p, err := w.examine(fd, name, folder.depth)
	if err == nil {
		w.opened = append(w.opened, p.file)
	}
	return p, err
}

// examine makes a part of a descriptor: what it is, and how it is marked.
func (u *Union) examine(fd int, name string, depth int) (part, error) {
	p := part{depth: depth, file: os.NewFile(uintptr(fd), name)}
	var err error
	if p.info, err = p.file.Stat(); err == nil {
		p.mark, err = u.marks(p)
	}
	if err != nil {
		p.file.Close()
	}
	return p, err
}

// marks reads the attributes by which a layer says how it is to be merged. Those that say that the real thing is elsewhere are an error, since what is
// here is not what was meant.
func (u *Union) marks(p part) (string, error) {
	elsewhere := "metacopy"
	switch mode := p.info.Mode(); {
	case mode.IsDir():
		elsewhere = "redirect"
	case !mode.IsRegular():
		return "", nil
	}
	if _, err := getxattr(p.file, u.prefix+elsewhere); err == nil {
		return "", fmt.Errorf("%s has the attribute %s%s, which the union does not follow: mount the layers with overlay to read them", p.file.Name(), u.prefix, elsewhere)
	}
	if !p.info.IsDir() {
		return "", nil
	}
	mark, err := getxattr(p.file, u.prefix+"opaque")
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil
	}
	return string(mark), err
}
