// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Tar packs and unpacks archives: tar -c|-x|-t [-vzp] [-f FILE] [-C FOLDER] [NAME…]. A compressed archive is recognized when read.
func Tar(std tool.IO, args []string) int {
	plain := append([]string{}, args[1:]...)
	if len(plain) > 0 && !strings.HasPrefix(plain[0], "-") {
		plain[0] = "-" + plain[0] // tar xf FILE
	}
	o, err := tool.Parse(plain, "cxtvzpf:C:O", "create=c", "extract=x", "list=t", "file=f", "directory=C", "gzip=z", "verbose=v")
	if err != nil {
		return std.Fail(args[0], err)
	}
	switch {
	case o.Has("c"):
		err = createTar(std, o)
	case o.Has("x"), o.Has("t"):
		err = readTar(std, o)
	default:
		err = errors.New("one of -c, -x or -t, please")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// createTar writes an archive of the named files.
func createTar(std tool.IO, o *tool.Options) (err error) {
	if len(o.Args) == 0 {
		return errors.New("an empty archive is not made: which files?")
	}
	out := std.Out
	if name := o.Value('f', "-"); name != "-" {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	if o.Has("z") {
		z := gzip.NewWriter(out)
		defer func() { err = errors.Join(err, z.Close()) }()
		out = z
	}
	w := tar.NewWriter(out)
	defer func() { err = errors.Join(err, w.Close()) }()
	base := o.Value('C', ".")
	links := map[[2]uint64]string{}
	for _, name := range o.Args {
		err := filepath.WalkDir(filepath.Join(base, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Clean(base), path)
			if err != nil || filepath.IsAbs(name) {
				rel = strings.TrimPrefix(path, "/")
			}
			if o.Has("v") {
				fmt.Fprintln(std.Err, rel)
			}
			return addToTar(w, path, rel, links)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addToTar adds one file; a second name of a file becomes a link to the first.
func addToTar(w *tar.Writer, path, name string, links map[[2]uint64]string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	target, _ := os.Readlink(path) // "" for what is no link
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	if h.Name = name; info.IsDir() {
		h.Name += "/"
	}
	st := info.Sys().(*syscall.Stat_t)
	if info.Mode().IsRegular() && st.Nlink > 1 {
		id := [2]uint64{uint64(st.Dev), st.Ino}
		if first, ok := links[id]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			return w.WriteHeader(h)
		}
		links[id] = name
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// readTar lists an archive or unpacks it.
func readTar(std tool.IO, o *tool.Options) error {
	in := std.In
	if name := o.Value('f', "-"); name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	buffered := bufio.NewReader(in)
	in = buffered
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b { // RFC 1952
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		in = z
	}
	// os.Root keeps names with .. and links on the way inside the folder.
	root, err := os.OpenRoot(o.Value('C', "."))
	if err != nil {
		return err
	}
	defer root.Close()
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !wanted(h.Name, o.Args) {
			continue
		}
		if err := oneFromTar(std, o, root, h, r); err != nil {
			return err
		}
	}
}

// wanted reports whether a name is, or is below, one of those asked for.
func wanted(name string, names []string) bool {
	name = filepath.Clean(name)
	for _, n := range names {
		if n = filepath.Clean(n); name == n || strings.HasPrefix(name, n+"/") {
			return true
		}
	}
	return len(names) == 0
}

// oneFromTar lists or unpacks one entry.
func oneFromTar(std tool.IO, o *tool.Options, root *os.Root, h *tar.Header, r io.Reader) error {
	line := h.Name
	if o.Has("v") && o.Has("t") {
		line = fmt.Sprintf("%s %s/%s %8d %s %s", tool.ModeString(h.FileInfo().Mode()), h.Uname, h.Gname, h.Size,
			h.ModTime.Format("2006-01-02 15:04"), h.Name)
	}
	switch {
	case o.Has("t"):
		fmt.Fprintln(std.Out, line)
		return nil
	case o.Has("O"):
		_, err := io.Copy(std.Out, r)
		return err
	case o.Has("v"):
		fmt.Fprintln(std.Out, line)
	}
	return unpack(root, h, r)
}

// unpack makes one file of an archive below root.
func unpack(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.Clean(strings.TrimLeft(h.Name, "/"))
	if name == "." {
		return nil
	}
	mode := h.FileInfo().Mode()
	if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeDir {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(name, 0o777); err != nil {
			return err
		}
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	case tar.TypeSymlink:
		if err := root.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeLink:
		return root.Link(strings.TrimLeft(h.Linkname, "/"), name)
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		if err := unpackNode(root, h, name); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		if err := root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	if err := root.Chmod(name, mode); err != nil {
		return err
	}
	return root.Chtimes(name, h.ModTime, h.ModTime)
}

// unpackNode makes a named pipe or a device node, in a folder that was opened inside root.
func unpackNode(root *os.Root, h *tar.Header, name string) error {
	dir, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	kind := map[byte]uint32{tar.TypeFifo: unix.S_IFIFO, tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK}[h.Typeflag]
	device := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if err := unix.Mknodat(int(dir.Fd()), filepath.Base(name), kind|0o600, int(device)); err != nil {
		return &fs.PathError{Op: "mknod", Path: name, Err: err}
	}
	return nil
}
