// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// unpacker makes a folder of an archive.
type unpacker struct {
	o       Options
	tree    *tree
	owner   owner
	dirs    directories
	result  Result
	counted int    // entries, and directories without one
	name    string // the entry that is unpacked now
	buffer  []byte
}

// Unpack makes the empty folder dir of an uncompressed layer archive and reads r to its end. What it made stays when it returns
// an error.
func Unpack(ctx context.Context, dir string, r io.Reader, o Options) (result Result, err error) {
	t, err := openTree(dir)
	if err != nil {
		return Result{}, fmt.Errorf("unpack a layer: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	o.Limits = o.Limits.withDefaults()
	u := &unpacker{o: o, tree: t, dirs: directories{byID: map[string]int{}}, buffer: make([]byte, blockSize)}
	if err := u.start(); err != nil {
		return Result{}, fmt.Errorf("unpack a layer into %s: %w", dir, err)
	}
	s := newStream(ctx, r, o.Limits.stream())
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := u.unpack(ctx, s); err != nil {
		return Result{}, fullDisk(dir, err)
	}
	return u.result, nil
}

// fullDisk says what to do if there was no space.
func fullDisk(dir string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: make room on the file system of %s, then unpack again", err, dir)
	}
	return err
}

// start looks at the folder, which must be empty: then all that is found in it later is of this layer.
func (u *unpacker) start() error {
	n, err := unix.ReadDirent(u.tree.root, u.buffer)
	if err != nil {
		return fmt.Errorf("read it: %w", err)
	}
	_, _, names := unix.ParseDirent(u.buffer[:n], 1, nil)
	if len(names) > 0 {
		return fmt.Errorf("the folder must be empty, but it has %s in it", shown(names[0]))
	}
	if u.owner, err = newOwner(u.tree.root); err != nil {
		return err
	}
	return u.addDirectory("", false)
}

// unpack reads the archive to its end.
func (u *unpacker) unpack(ctx context.Context, s *stream) error {
	archive := tar.NewReader(s)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil || errors.Is(err, tar.ErrInsecurePath) { // we look at paths ourselves
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("layer entry %d, after %s: %w", u.result.Entries+1, shown(u.name), err)
		}
		u.name = h.Name
		u.result.Entries++
		if err := u.count(); err != nil {
			return err
		}
		if err := u.entry(h, archive); err != nil {
			return fmt.Errorf("layer entry %s: %w", shown(h.Name), err)
		}
	}
	last := u.name
	if err := u.finishDirectories(); err != nil {
		return err
	}
	var err error
	if u.result.DiffID, err = s.drain(); err != nil {
		return fmt.Errorf("read what follows the last layer entry, %s: %w", shown(last), err)
	}
	return nil
}

// count counts an entry, or a directory without one: a name of a few kilobytes may ask for hundreds of these.
func (u *unpacker) count() error {
	if u.counted++; u.counted > u.o.Limits.Entries {
		return fmt.Errorf("the layer has more than %d entries, counted with the directories that have none", u.o.Limits.Entries)
	}
	return nil
}

// entry does what one entry asks for.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return u.global(h)
	}
	name, err := relative(h.Name)
	if err != nil {
		return err
	}
	what, name, err := interpret(name)
	if err != nil || what == nothing {
		return err
	}
	if what == hides {
		return beside(u.hide(name))
	}
	if name == "" {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root of a layer must be a directory")
		}
		return u.directory(place{fd: u.tree.root}, "", h)
	}
	above, base := split(name)
	dir, err := u.makeDirectory(above)
	if err == nil && what == deletes {
		err = u.whiteout(dir, base)
	}
	if what == deletes {
		return beside(err)
	}
	if err != nil {
		return err
	}
	return u.file(dir, base, h, content)
}

// beside lets whiteouts be in what this layer made a file of: umoci writes such, and the file hides all that they would.
func beside(err error) error {
	if errors.Is(err, errNoDirectory) {
		return nil
	}
	return err
}

// global reads records that hold for all entries that follow. We know none that an image has, besides comments, as git writes them.
func (u *unpacker) global(h *tar.Header) error {
	for record := range h.PAXRecords {
		if record != "comment" {
			return fmt.Errorf("record %s for all entries: give it to each", shown(record))
		}
	}
	return nil
}

// hide makes a directory opaque.
func (u *unpacker) hide(path string) error {
	p, err := u.makeDirectory(path)
	if err != nil {
		return err
	}
	return u.markOpaque(p.path)
}

// markOpaque notes that a directory hides what is below, for the time when it gets its attributes.
func (u *unpacker) markOpaque(path string) error {
	i, ok := u.dirs.byID[path]
	if !ok {
		return fmt.Errorf("directory %s is not of this layer", shown(path))
	}
	u.dirs.all[i].opaque = true
	return nil
}

// whiteout hides a file of the layers below. What this layer itself has under the name stays; a directory then hides all that
// is below it.
func (u *unpacker) whiteout(dir place, base string) error {
	err := unix.Mknodat(dir.fd, base, unix.S_IFCHR, 0)
	if err == nil {
		return nil
	}
	if err != unix.EEXIST {
		return fmt.Errorf("make a whiteout (mknod c 0 0): %w", err)
	}
	var s unix.Stat_t
	if err := unix.Fstatat(dir.fd, base, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		return u.markOpaque(join(dir.path, base))
	}
	return nil
}

// file makes the file of an entry.
func (u *unpacker) file(dir place, base string, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(dir, base, h)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.regular(dir, base, h, content)
	case tar.TypeLink:
		return u.link(dir, base, h)
	case tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(dir, base, h)
	}
	return fmt.Errorf("entries of type %q are not known: a layer has files, directories, links, devices and fifos", h.Typeflag)
}

// directory makes a directory, or gives the one that is there new attributes.
func (u *unpacker) directory(dir place, base string, h *tar.Header) error {
	a, err := attributesOf(h, &u.o)
	if err != nil {
		return err
	}
	path := join(dir.path, base)
	if base != "" {
		if err := u.replaceByDirectory(dir, base); err != nil {
			return err
		}
	}
	i, ok := u.dirs.byID[path]
	if !ok {
		return fmt.Errorf("directory %s is not of this layer", shown(path))
	}
	u.dirs.all[i].attributes, u.dirs.all[i].implicit = a, false
	return nil
}

// replaceByDirectory makes a directory unless there is one; other files have to go.
func (u *unpacker) replaceByDirectory(dir place, base string) error {
	var s unix.Stat_t
	err := unix.Mkdirat(dir.fd, base, 0o700)
	if err == nil {
		return u.addDirectory(join(dir.path, base), false)
	}
	if err == unix.EEXIST {
		err = unix.Fstatat(dir.fd, base, &s, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if !isWhiteout(&s) {
		if err := u.clear(dir, base); err != nil {
			return err
		}
	}
	return u.mkdir(dir, base)
}

// replacing makes a file, if need be in place of another.
func (u *unpacker) replacing(dir place, base string, create func() error) error {
	err := create()
	if err != unix.EEXIST {
		return err
	}
	if err := u.clear(dir, base); err != nil {
		return fmt.Errorf("remove what an earlier entry made: %w", err)
	}
	return create()
}
