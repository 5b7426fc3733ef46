// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openDirs is how many directories a tree keeps open. Archives mostly go through a directory and then leave it, so a few are enough.
const openDirs = 16

// place is a directory below a folder: its path without symbolic links, and a descriptor of kind O_PATH.
type place struct {
	path string
	fd   int
}

// tree is a folder whose directories are looked up beneath it. It keeps those open that were used last.
type tree struct {
	root  int
	named string  // as the caller calls the folder
	last  []place // the latest first
}

// openTree opens a folder. Close it.
func openTree(dir string) (*tree, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &tree{root: fd, named: dir}, nil
}

// Close closes all descriptors.
func (t *tree) Close() error {
	for _, p := range t.last {
		unix.Close(p.fd)
	}
	t.last = nil
	return unix.Close(t.root)
}

// open opens a path below the folder, which may not go through symbolic links unless follow says so: then they may not lead out of it.
func (t *tree) open(path string, flags int, follow bool) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	if !follow {
		how.Resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	if path == "" {
		path = "."
	}
	for {
		fd, err := unix.Openat2(t.root, path, &how)
		if err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: something was renamed at the same moment
			continue
		}
		return fd, err
	}
}

// directory finds a directory. Its descriptor belongs to the tree and is good for the next few calls.
func (t *tree) directory(path string) (place, error) {
	p, err := t.strict(path)
	if err == unix.ELOOP {
		return t.follow(path)
	}
	return p, err
}

// strict finds a directory by a path without symbolic links; with one the error is unix.ELOOP.
func (t *tree) strict(path string) (place, error) {
	if path == "" {
		return place{fd: t.root}, nil
	}
	for i, p := range t.last {
		if p.path == path {
			copy(t.last[1:i+1], t.last[:i])
			t.last[0] = p
			return p, nil
		}
	}
	fd, err := t.open(path, unix.O_PATH|unix.O_DIRECTORY, false)
	if err != nil {
		return place{}, err
	}
	return t.keep(place{path, fd}), nil
}

// follow finds a directory behind symbolic links, as tools do that unpack within chroot(2), but only if none of them is absolute
// or climbs out.
func (t *tree) follow(path string) (place, error) {
	fd, err := t.open(path, unix.O_PATH|unix.O_DIRECTORY, true)
	if err == unix.EXDEV {
		return place{}, errors.New("a symbolic link in its path leads out of the layer")
	}
	if err != nil {
		return place{}, err
	}
	real, err := t.real(fd)
	if err != nil {
		unix.Close(fd)
		return place{}, err
	}
	return t.keep(place{real, fd}), nil
}

// real is the path of an open directory below the folder.
func (t *tree) real(fd int) (string, error) {
	root, err := os.Readlink(descriptor(t.root))
	if err != nil {
		return "", err
	}
	path, err := os.Readlink(descriptor(fd))
	if err != nil {
		return "", err
	}
	if path == root {
		return "", nil
	}
	below, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")+"/")
	if !ok {
		return "", fmt.Errorf("%s is not in %s", shown(path), t.named)
	}
	return below, nil
}

// keep remembers an open directory, and closes the one that was not used for longest.
func (t *tree) keep(p place) place {
	if len(t.last) == openDirs {
		unix.Close(t.last[openDirs-1].fd)
		t.last = t.last[:openDirs-1]
	}
	t.last = append(t.last, place{})
	copy(t.last[1:], t.last)
	t.last[0] = p
	return p
}

// forget closes a directory and all below it, because it is removed.
func (t *tree) forget(path string) {
	kept := t.last[:0]
	for _, p := range t.last {
		if p.path == path || strings.HasPrefix(p.path, path+"/") {
			unix.Close(p.fd)
			continue
		}
		kept = append(kept, p)
	}
	t.last = kept
}

// descriptor is the path of a descriptor of this process.
func descriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// file is the path of a file in an open directory, for calls that take no descriptor of a directory.
func (p place) file(name string) string { return descriptor(p.fd) + "/" + name }
