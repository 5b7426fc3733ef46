// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one name may lead over, as in the kernel (path_resolution(7)).
const maxLinks = 40

// walk is one operation on its way through the union. What it has opened is closed in the end.
type walk struct {
	*Union
	opened  []*os.File
	known   map[string]*node // by path: two names may lead over the same folder, which must not be copied up twice
	links   int
	creates bool // a file, if there is none
}

// walk begins one.
func (u *Union) walk() *walk { return &walk{Union: u, known: map[string]*node{}} }

// end closes what was opened.
func (w *walk) end() {
	for _, file := range w.opened {
		file.Close()
	}
}

// root is the folder that has all layers for parts, whatever they are marked with. The topmost is looked at anew.
func (w *walk) root() (*node, error) {
	n := &node{name: "."}
	for _, l := range w.layers {
		n.parts = append(n.parts, l.root)
	}
	var err error
	n.parts[0].info, err = n.parts[0].file.Stat()
	return n, err
}

// resolve finds what a name leads to. Symbolic links on the way are followed; one at the end is, if follow is set.
func (w *walk) resolve(name string, follow bool) (*node, error) {
	n, exists, err := w.place(name, follow)
	if err == nil && !exists {
		err = unix.ENOENT
	}
	return n, err
}

// place finds where a name leads to: what is there or, where nothing is, a node without parts in the folder where it could be made.
func (w *walk) place(name string, follow bool) (n *node, exists bool, err error) {
	if !fs.ValidPath(name) {
		return nil, false, fs.ErrInvalid
	}
	if n, err = w.root(); err != nil {
		return nil, false, err
	}
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		step, last := rest[0], len(rest) == 1
		rest = rest[1:]
		if !n.info().IsDir() {
			return nil, false, unix.ENOTDIR
		}
		if step == "" || step == "." {
			continue
		}
		if step == ".." {
			if n.parent != nil { // above the root is the root
				n = n.parent
			}
			continue
		}
		found, err := w.lookup(n, step)
		if errors.Is(err, unix.ENOENT) && last {
			return found, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if found.info().Mode()&os.ModeSymlink == 0 || last && !follow {
			n = found
			continue
		}
		if n, rest, err = w.link(n, found, rest); err != nil {
			return nil, false, err
		}
	}
	return n, true, nil
}

// link puts the target of a symbolic link in front of the rest of a name. One that starts with a slash starts at the union's root.
func (w *walk) link(dir, n *node, rest []string) (*node, []string, error) {
	if w.links++; w.links > maxLinks {
		return nil, nil, unix.ELOOP
	}
	target, err := readlink(n.parts[0].file)
	if err != nil {
		return nil, nil, err
	}
	for strings.HasPrefix(target, "/") && dir.parent != nil {
		dir = dir.parent
	}
	if strings.HasSuffix(target, "/") { // only a folder will do
		if w.creates && len(rest) == 0 {
			return nil, nil, unix.EISDIR
		}
		target += "."
	}
	return dir, append(strings.Split(target, "/"), rest...), nil
}

// readlink reads a symbolic link through its descriptor.
func readlink(link *os.File) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(link.Fd()), "", target)
	return string(target[:max(n, 0)]), err
}
