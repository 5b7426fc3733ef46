// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// file is one of a tree, as the kernel describes it.
type file struct {
	path string // below the tree, "" for its root
	unix.Stat_t
	xattrs []xattr // all, overlay's too
}

// inode tells files apart that have several names.
type inode struct{ dev, ino uint64 }

// kind is the file's type, one of unix.S_IFREG and so on.
func (f *file) kind() uint32 { return f.Mode & unix.S_IFMT }

// isDir says whether the file is a directory.
func (f *file) isDir() bool { return f.kind() == unix.S_IFDIR }

// inode is what all names of the file share.
func (f *file) inode() inode { return inode{uint64(f.Dev), f.Ino} }

// linked says whether the file may have other names.
func (f *file) linked() bool { return f.Nlink > 1 && !f.isDir() }

// xattr is the value of an extended attribute, and whether there is one.
func (f *file) xattr(name string) (string, bool) {
	for _, x := range f.xattrs {
		if x.name == name {
			return string(x.value), true
		}
	}
	return "", false
}

// ours are the extended attributes that are part of an image.
func (f *file) ours() []xattr {
	return slices.DeleteFunc(slices.Clone(f.xattrs), func(x xattr) bool { return foreign(x.name) != "" })
}

// opaque says whether a directory hides the one below it.
func (f *file) opaque(o *Options) bool {
	value, _ := f.xattr(o.overlay("opaque"))
	return f.isDir() && value == "y"
}

// whiteout says whether a file deletes the one below it. Where no devices can be made, overlay takes empty files with an extended
// attribute too, in directories that say so (overlayfs.rst, "Whiteouts and opaque directories").
func (f *file) whiteout(in *file, o *Options) bool {
	if isWhiteout(&f.Stat_t) {
		return true
	}
	if f.kind() != unix.S_IFREG || f.Size != 0 {
		return false
	}
	marked, _ := in.xattr(o.overlay("opaque"))
	_, deleted := f.xattr(o.overlay("whiteout"))
	return marked == "x" && deleted
}

// lookup describes a file of an open directory.
func lookup(dir place, base string) (file, error) {
	f := file{path: join(dir.path, base)}
	if err := unix.Fstatat(dir.fd, base, &f.Stat_t, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return f, err
	}
	var err error
	f.xattrs, err = readXattrs(dir.file(base))
	return f, err
}

// find describes a file of a tree by its path. Without one the error is unix.ENOENT, unix.ENOTDIR or unix.ELOOP.
func (t *tree) find(path string) (file, error) {
	if path == "" {
		f, err := lookup(place{fd: t.root}, ".")
		f.path = ""
		return f, err
	}
	above, base := split(path)
	dir, err := t.strict(above)
	if err != nil {
		return file{}, err
	}
	return lookup(dir, base)
}

// missing says whether an error of find means that there is no such file.
func missing(err error) bool { return err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP }

// list opens a directory and reads the names in it, sorted. Close the descriptor.
func (t *tree) list(path string) (place, []string, error) {
	fd, err := t.open(path, unix.O_RDONLY|unix.O_DIRECTORY, false)
	if err != nil {
		return place{}, nil, fmt.Errorf("open %s: %w", shown(path), err)
	}
	names, err := readNames(fd)
	if err != nil {
		unix.Close(fd)
		return place{}, nil, fmt.Errorf("read directory %s: %w", shown(path), err)
	}
	return place{path, fd}, names, nil
}

// readNames reads an open directory.
func readNames(fd int) ([]string, error) {
	var names []string
	buffer := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}

// readLink reads a symbolic link.
func readLink(dir place, base string) (string, error) {
	buffer := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(dir.fd, base, buffer)
	if err != nil {
		return "", fmt.Errorf("read the link: %w", err)
	}
	return string(buffer[:n]), nil
}

// stat describes a file of an open directory without its extended attributes.
func stat(dir place, base string) (file, error) {
	f := file{path: join(dir.path, base)}
	err := unix.Fstatat(dir.fd, base, &f.Stat_t, unix.AT_SYMLINK_NOFOLLOW)
	return f, err
}

// closeQuietly closes a directory that was only read.
func closeQuietly(p place) { unix.Close(p.fd) }
