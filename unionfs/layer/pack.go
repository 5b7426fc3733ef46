// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// packer writes files of a tree into an archive.
type packer struct {
	o       Options
	archive *tar.Writer
	tree    *tree
	view    *tree            // where the content of files is that the tree refers to; may be nil
	links   map[inode]string // the first name of each file that has several
	buffer  []byte
}

// Pack writes the folder dir, with overlay's whiteouts in it, as an uncompressed layer archive. The same folder gives the same
// bytes. A tree without whiteouts, such as a container's root, becomes a plain archive.
func Pack(ctx context.Context, w io.Writer, dir string, o Options) (err error) {
	p, closeAll, err := newPacker(w, dir, o)
	if err != nil {
		return fmt.Errorf("pack a layer: %w", err)
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	root, err := p.tree.find("")
	if err == nil && o.Below != "" {
		err = p.root(&root, o.Below)
	}
	if err == nil {
		err = p.inside(ctx, &root, true)
	}
	if err == nil {
		err = p.archive.Close()
	}
	if err != nil {
		return fmt.Errorf("pack a layer of %s: %w", dir, err)
	}
	return nil
}

// newPacker opens the folder and the view of it. The function closes both.
func newPacker(w io.Writer, dir string, o Options) (*packer, func() error, error) {
	p := &packer{o: o, archive: tar.NewWriter(w), links: map[inode]string{}, buffer: make([]byte, blockSize)}
	var err error
	if p.tree, err = openTree(dir); err != nil {
		return nil, nil, err
	}
	if o.View == "" {
		return p, p.tree.Close, nil
	}
	if p.view, err = openTree(o.View); err != nil {
		return nil, nil, errors.Join(err, p.tree.Close())
	}
	return p, func() error { return errors.Join(p.tree.Close(), p.view.Close()) }, nil
}

// inside packs what is in a directory, in the order of the names. Overlay says whether it may have overlay's marks.
func (p *packer) inside(ctx context.Context, parent *file, overlay bool) error {
	dir, names, err := p.tree.list(parent.path)
	if err != nil {
		return err
	}
	defer unix.Close(dir.fd)
	if overlay && parent.opaque(&p.o) {
		if err := p.mark(join(parent.path, opaqueName)); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := lookup(dir, name)
		if err == nil && overlay && f.whiteout(parent, &p.o) {
			err = p.mark(join(parent.path, whiteoutPrefix+name))
		} else if err == nil {
			err = p.pack(ctx, dir, &f, overlay)
		}
		if p.vanished(dir, name, err) {
			continue
		}
		if err != nil {
			return named(join(parent.path, name), err)
		}
	}
	return nil
}

// vanished says whether an error comes from a file that is no longer there, and forgets that other names could be links to it.
func (p *packer) vanished(dir place, name string, err error) bool {
	if !vanished(dir, name, err) {
		return false
	}
	maps.DeleteFunc(p.links, func(_ inode, first string) bool { return first == join(dir.path, name) })
	return true
}

// vanished says whether an error comes from a file that was removed after its directory was read: a container may run meanwhile.
func vanished(dir place, name string, err error) bool {
	var s unix.Stat_t
	return errors.Is(err, unix.ENOENT) && unix.Fstatat(dir.fd, name, &s, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
}

// root writes an entry for the root, if it is another one than that of the tree below. Times alone don't count: any new file changes them.
func (p *packer) root(now *file, below string) error {
	t, err := openTree(below)
	if err != nil {
		return err
	}
	defer t.Close()
	was, err := t.find("")
	if err != nil {
		return err
	}
	was.Mtim = now.Mtim
	if sameAttributes(&was, now) {
		return nil
	}
	h, err := p.header(now)
	if err != nil {
		return err
	}
	h.Name = "./"
	return p.archive.WriteHeader(h)
}

// named adds the path of a file to an error, unless one further down did.
func named(path string, err error) error {
	var at *fileError
	if errors.As(err, &at) {
		return err
	}
	return &fileError{path, err}
}

// fileError is an error of one file.
type fileError struct {
	path string
	err  error
}

// Error names the file.
func (e *fileError) Error() string { return shown("/"+e.path) + ": " + e.err.Error() }

// Unwrap is the cause.
func (e *fileError) Unwrap() error { return e.err }

// pack writes one file, and all in it if it is a directory.
func (p *packer) pack(ctx context.Context, dir place, f *file, overlay bool) error {
	if !overlay || !f.isDir() {
		if err := p.write(dir, f, overlay); err != nil || !f.isDir() {
			return err
		}
		return p.inside(ctx, f, false)
	}
	if _, moved := f.xattr(p.o.overlay("redirect")); moved {
		return p.moved(ctx, dir, f)
	}
	if err := p.write(dir, f, overlay); err != nil {
		return err
	}
	return p.inside(ctx, f, true)
}

// moved packs a directory that overlay renamed: the folder has only what changed in it since, so all is taken from the view.
func (p *packer) moved(ctx context.Context, dir place, f *file) error {
	if p.view == nil {
		return errors.New("the directory was renamed and the folder has only a reference to its content (redirect_dir): pack it with a view of the mounted file system")
	}
	if err := p.write(dir, f, true); err != nil {
		return err
	}
	if err := p.mark(join(f.path, opaqueName)); err != nil {
		return err
	}
	whole := *p
	whole.tree, whole.view = p.view, nil
	root, err := whole.tree.find(f.path)
	if err != nil {
		return fmt.Errorf("look at it in the view: %w", err)
	}
	return whole.inside(ctx, &root, false)
}

// mark writes an empty entry whose name says what is deleted.
func (p *packer) mark(name string) error {
	return p.archive.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Format: tar.FormatPAX})
}

// write writes the entry of one file and its content.
func (p *packer) write(dir place, f *file, overlay bool) error {
	_, base := split(f.path)
	if strings.HasPrefix(base, whiteoutPrefix) {
		return fmt.Errorf("a name that starts with %s means a deleted file in a layer: rename the file", whiteoutPrefix)
	}
	if f.kind() == unix.S_IFSOCK {
		p.o.notice(f.path, "socket: an archive can't hold it")
		return nil
	}
	h, err := p.header(f)
	if err != nil {
		return err
	}
	first, err := p.first(f)
	if err != nil {
		return err
	}
	if first != f.path {
		h.Typeflag, h.Linkname, h.PAXRecords = tar.TypeLink, first, nil
		return p.archive.WriteHeader(h)
	}
	switch f.kind() {
	case unix.S_IFREG:
		return p.regular(dir, base, f, h, overlay)
	case unix.S_IFLNK:
		if h.Linkname, err = readLink(dir, base); err != nil {
			return err
		}
	}
	return p.archive.WriteHeader(h)
}

// first is the name under which a file is in the archive already, or the file's own. With a view the inode is the view's: from there come
// other names of files of the folder, too.
func (p *packer) first(f *file) (string, error) {
	if !f.linked() {
		return f.path, nil
	}
	id := f.inode()
	if p.view != nil {
		shown, err := p.view.find(f.path)
		if err != nil {
			return "", fmt.Errorf("look at it in the view: %w", err)
		}
		id = shown.inode()
	}
	if _, again := p.links[id]; !again {
		p.links[id] = f.path
	}
	return p.links[id], nil
}

// header describes a file, but not where a link leads and not the size.
func (p *packer) header(f *file) (*tar.Header, error) {
	h := &tar.Header{
		Name:    f.path,
		Mode:    int64(f.Mode & 0o7777),
		ModTime: time.Unix(f.Mtim.Unix()),
		Format:  tar.FormatPAX,
	}
	switch f.kind() {
	case unix.S_IFREG:
		h.Typeflag = tar.TypeReg
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if f.kind() == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(f.Rdev)), int64(unix.Minor(f.Rdev))
	default:
		return nil, fmt.Errorf("files of type %#o are not known", f.kind())
	}
	if err := p.owners(h, f); err != nil {
		return nil, err
	}
	return h, p.records(h, f)
}

// owners fills in the numbers of user and group.
func (p *packer) owners(h *tar.Header, f *file) (err error) {
	if p.o.SkipOwners {
		return nil
	}
	if h.Uid, err = inside(p.o.UIDs, f.Uid); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if h.Gid, err = inside(p.o.GIDs, f.Gid); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return nil
}

// records fills in the extended attributes.
func (p *packer) records(h *tar.Header, f *file) error {
	for _, x := range f.ours() {
		value, err := xattrInside(&p.o, x.name, x.value)
		if err != nil {
			return fmt.Errorf("extended attribute %s: %w", shown(x.name), err)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		record, text := xattr{x.name, value}.record()
		h.PAXRecords[record] = text
	}
	return nil
}

// regular writes a regular file with its content.
func (p *packer) regular(dir place, base string, f *file, h *tar.Header, overlay bool) error {
	var fd int
	var err error
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	if _, elsewhere := f.xattr(p.o.overlay("metacopy")); !overlay || !elsewhere {
		fd, err = unix.Openat(dir.fd, base, flags, 0)
	} else if p.view != nil {
		fd, err = p.view.open(f.path, flags, false)
	} else {
		return errors.New("the folder has only the file's attributes, not its content (metacopy): pack it with a view of the mounted file system")
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer unix.Close(fd)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return err
	}
	if now.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("it was replaced while it was packed")
	}
	h.Size = now.Size
	if err := p.archive.WriteHeader(h); err != nil {
		return err
	}
	return p.content(fd, h.Size)
}

// content copies as many bytes as the header says.
func (p *packer) content(fd int, size int64) error {
	for size > 0 {
		n, err := unix.Read(fd, p.buffer[:min(size, int64(len(p.buffer)))])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return errors.New("it became shorter while it was packed: stop who writes it")
		}
		if _, err := p.archive.Write(p.buffer[:n]); err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
