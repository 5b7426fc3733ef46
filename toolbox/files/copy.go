// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/u-root/u-root/pkg/core/cp"
	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// copying is how cp and mv copy.
type copying struct {
	recursive bool
	preserve  bool // owner, mode and times
	follow    bool // copy what a link points to
	force     bool
	said      func(src, dst string)
}

// Cp copies files: cp [-afiprRPLdv] SOURCE… TARGET.
func Cp(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "afprRPLdvT", "archive=a", "recursive=r", "force=f", "verbose=v", "no-dereference=P")
	if err != nil {
		return std.Fail(args[0], err)
	}
	c := copying{
		recursive: o.Has("rRa"),
		preserve:  o.Has("ap"),
		follow:    !o.Has("raRdP") || o.Has("L"),
		force:     o.Has("f"),
		said:      verbose(std, o),
	}
	return toTarget(std, args[0], o, c.copy)
}

// verbose is what to do after a file: with -v its names are printed.
func verbose(std tool.IO, o *tool.Options) func(src, dst string) {
	if !o.Has("v") {
		return func(string, string) {}
	}
	return func(src, dst string) { fmt.Fprintf(std.Out, "%s -> %s\n", src, dst) }
}

// toTarget calls fn for each source with the place it goes to: into the target if that is a folder.
func toTarget(std tool.IO, name string, o *tool.Options, fn func(src, dst string) error) int {
	if len(o.Args) < 2 {
		return std.Errorf(name, "a source and a target, please")
	}
	sources, target := o.Args[:len(o.Args)-1], o.Args[len(o.Args)-1]
	info, err := os.Stat(target)
	into := err == nil && info.IsDir() && !o.Has("T")
	if len(sources) > 1 && !into {
		return std.Errorf(name, "%s: not a directory", target)
	}
	code := 0
	for _, src := range sources {
		dst := target
		if into {
			dst = filepath.Join(target, filepath.Base(src))
		}
		if err := fn(src, dst); err != nil {
			code = std.Fail(name, err)
		}
	}
	return code
}

// copy copies one file or tree.
func (c copying) copy(src, dst string) error {
	info, err := os.Lstat(src)
	if err == nil && c.follow {
		info, err = os.Stat(src)
	}
	if err != nil {
		return err
	}
	options := cp.Options{NoFollowSymlinks: !c.follow, PreCallback: c.before, PostCallback: c.after}
	if !info.IsDir() {
		return options.Copy(src, dst)
	}
	if !c.recursive {
		return fmt.Errorf("%s: is a directory, and -r was not given", src)
	}
	if inside(src, dst) {
		return fmt.Errorf("%s: cannot be copied into itself", src)
	}
	if c.follow { // cp.CopyTree would make an empty folder of a link to a folder
		if src, err = filepath.EvalSymlinks(src); err != nil {
			return err
		}
	}
	if err := options.CopyTree(src, dst); err != nil || !c.preserve {
		return err
	}
	return c.folderTimes(src, dst)
}

// inside reports whether dst lies below src.
func inside(src, dst string) bool {
	a, err1 := filepath.Abs(src)
	b, err2 := filepath.Abs(dst)
	return err1 == nil && err2 == nil && strings.HasPrefix(b+"/", a+"/")
}

// before prepares the place of one file, and copies by itself what the library doesn't: device nodes and named pipes.
func (c copying) before(src, dst string, info os.FileInfo) error {
	old, err := os.Lstat(dst)
	there := err == nil
	if there {
		if target, err := os.Stat(dst); err == nil && os.SameFile(info, target) {
			return fmt.Errorf("%s and %s are the same file", src, dst)
		}
	}
	special := info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSymlink) != 0
	if there && !old.IsDir() && (special || c.force && unix.Access(dst, unix.W_OK) != nil) {
		if err := os.Remove(dst); err != nil {
			return err
		}
	}
	switch {
	case info.Mode()&(fs.ModeDevice|fs.ModeNamedPipe) != 0:
		st := info.Sys().(*syscall.Stat_t)
		if err := unix.Mknod(dst, st.Mode, int(st.Rdev)); err != nil {
			return &fs.PathError{Op: "mknod", Path: dst, Err: err}
		}
		c.after(src, dst)
		return cp.ErrSkip
	case info.Mode()&fs.ModeSocket != 0:
		return cp.ErrSkip // a socket is nothing without its process
	}
	return nil
}

// after gives a copy the owner, mode and times of its source. A user who may not give files away keeps them.
func (c copying) after(src, dst string) {
	c.said(src, dst)
	if !c.preserve {
		return
	}
	info, err := os.Lstat(src)
	if err != nil {
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	_ = os.Lchown(dst, int(st.Uid), int(st.Gid))
	if info.Mode()&fs.ModeSymlink == 0 {
		_ = unix.Chmod(dst, tool.UnixMode(info.Mode())) // after chown, which takes the set-id bits away
	}
	times := []unix.Timespec{{Sec: st.Atim.Sec, Nsec: st.Atim.Nsec}, {Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec}}
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, dst, times, unix.AT_SYMLINK_NOFOLLOW)
}

// folderTimes sets the times of folders once they are full.
func (c copying) folderTimes(src, dst string) error {
	c.said = func(string, string) {}
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		c.after(path, filepath.Join(dst, rel))
		return nil
	})
}

// Mv moves files: mv [-finv] SOURCE… TARGET. Where a rename is impossible, between two file systems, it copies and removes.
func Mv(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "fnvT", "force=f", "verbose=v", "no-clobber=n")
	if err != nil {
		return std.Fail(args[0], err)
	}
	said := verbose(std, o)
	return toTarget(std, args[0], o, func(src, dst string) error {
		if _, err := os.Lstat(dst); err == nil && o.Has("n") {
			return nil
		}
		err := os.Rename(src, dst)
		if errors.Is(err, unix.EXDEV) {
			c := copying{recursive: true, preserve: true, force: true, said: func(string, string) {}}
			if err = c.copy(src, dst); err == nil {
				err = os.RemoveAll(src)
			}
		}
		if err == nil {
			said(src, dst)
		}
		return err
	})
}
