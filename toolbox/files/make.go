// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// each parses options and calls fn for every operand, of which there must be one; errors don't stop it.
func each(std tool.IO, args []string, spec string, long []string, fn func(o *tool.Options, name string) error) int {
	o, err := tool.Parse(args[1:], spec, long...)
	if err == nil && len(o.Args) == 0 {
		err = errors.New("which file?")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	code := 0
	for _, name := range o.Args {
		if err := fn(o, name); err != nil {
			code = std.Fail(args[0], err)
		}
	}
	return code
}

// Mkdir makes folders: mkdir [-p] [-m MODE] FOLDER….
func Mkdir(std tool.IO, args []string) int {
	return each(std, args, "pvm:", []string{"parents=p", "mode=m"}, func(o *tool.Options, name string) error {
		make := os.Mkdir
		if o.Has("p") {
			make = os.MkdirAll
		}
		if err := make(name, 0o777); err != nil {
			return err
		}
		if o.Has("v") {
			fmt.Fprintf(std.Out, "made %s\n", name)
		}
		if !o.Has("m") {
			return nil
		}
		return setMode(o.Value('m', ""), name)
	})
}

// Rmdir removes empty folders: rmdir [-p] FOLDER….
func Rmdir(std tool.IO, args []string) int {
	return each(std, args, "p", []string{"parents=p"}, func(o *tool.Options, name string) error {
		for name != "." && name != "/" {
			if err := unix.Rmdir(name); err != nil {
				return &fs.PathError{Op: "rmdir", Path: name, Err: err}
			}
			if !o.Has("p") {
				return nil
			}
			name = filepath.Dir(name)
		}
		return nil
	})
}

// Rm removes files: rm [-rfv] FILE….
func Rm(std tool.IO, args []string) int {
	if len(args) == 2 && args[1] == "-f" || len(args) == 2 && args[1] == "-rf" {
		return 0 // POSIX: nothing to remove is no error with -f
	}
	return each(std, args, "rRfv", []string{"recursive=r", "force=f"}, func(o *tool.Options, name string) error {
		info, err := os.Lstat(name)
		switch base := filepath.Base(name); {
		case o.Has("f") && errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case base == "." || base == ".." || base == "/":
			return fmt.Errorf("%s: will not be removed", name)
		case info.IsDir() && !o.Has("rR"):
			return &fs.PathError{Op: "rm", Path: name, Err: unix.EISDIR}
		}
		if err := os.RemoveAll(name); err != nil {
			return err
		}
		if o.Has("v") {
			fmt.Fprintf(std.Out, "removed %s\n", name)
		}
		return nil
	})
}

// Ln makes links: ln [-sfn] TARGET [LINK].
func Ln(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "sfnT", "symbolic=s", "force=f")
	if err == nil && (len(o.Args) == 0 || len(o.Args) > 2) {
		err = errors.New("usage: ln [-sf] TARGET [LINK]")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	target, link := o.Args[0], filepath.Base(o.Args[0])
	if len(o.Args) == 2 {
		link = o.Args[1]
	}
	stat := os.Stat
	if o.Has("n") {
		stat = os.Lstat
	}
	if info, err := stat(link); err == nil && info.IsDir() && !o.Has("T") {
		link = filepath.Join(link, filepath.Base(target))
	}
	if o.Has("f") {
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return std.Fail(args[0], err)
		}
	}
	make := os.Link
	if o.Has("s") {
		make = os.Symlink
	}
	if err := make(target, link); err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// Readlink prints what a link points to: readlink [-f] FILE…. -f follows every link on the way.
func Readlink(std tool.IO, args []string) int {
	return each(std, args, "fn", nil, func(o *tool.Options, name string) error {
		target, err := os.Readlink(name)
		if o.Has("f") {
			if target, err = filepath.EvalSymlinks(name); err == nil {
				target, err = filepath.Abs(target)
			}
		}
		if err != nil {
			return err
		}
		end := "\n"
		if o.Has("n") {
			end = ""
		}
		fmt.Fprint(std.Out, target+end)
		return nil
	})
}

// Pwd prints the working directory.
func Pwd(std tool.IO, args []string) int {
	dir, err := os.Getwd()
	if err != nil {
		return std.Fail(args[0], err)
	}
	fmt.Fprintln(std.Out, dir)
	return 0
}

// unixTime is a time of the kernel.
func unixTime(t syscall.Timespec) time.Time { return time.Unix(t.Sec, t.Nsec) }

// Touch makes files, or sets their times to now or to -d: touch [-acm] [-d TIME | -r FILE] FILE….
func Touch(std tool.IO, args []string) int {
	return each(std, args, "acmd:r:", []string{"date=d", "reference=r"}, func(o *tool.Options, name string) error {
		when := time.Now()
		if text := o.Value('d', ""); text != "" {
			t, err := ParseTime(text)
			if err != nil {
				return err
			}
			when = t
		}
		if like := o.Value('r', ""); like != "" {
			info, err := os.Stat(like)
			if err != nil {
				return err
			}
			when = info.ModTime()
		}
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			if o.Has("c") {
				return nil
			}
			f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666)
			if err != nil {
				return err
			}
			f.Close()
		}
		access, change := when, when // a zero time leaves the old one
		if o.Has("a") && !o.Has("m") {
			change = time.Time{}
		}
		if o.Has("m") && !o.Has("a") {
			access = time.Time{}
		}
		return os.Chtimes(name, access, change)
	})
}

// ParseTime reads a time as people give it to date and touch: @seconds, a date with or without a time of day.
func ParseTime(text string) (time.Time, error) {
	if len(text) > 1 && text[0] == '@' {
		if n, err := strconv.ParseInt(text[1:], 10, 64); err == nil {
			return time.Unix(n, 0), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: not a time", text)
}

// Mknod makes a device node or a named pipe: mknod [-m MODE] NAME b|c|p [MAJOR MINOR]. See mknod(2).
func Mknod(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "m:", "mode=m")
	if err != nil {
		return std.Fail(args[0], err)
	}
	a := o.Args
	kinds := map[string]uint32{"p": unix.S_IFIFO, "c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK}
	device := 0
	switch {
	case len(a) == 2 && a[1] == "p":
	case len(a) == 4 && kinds[a[1]] != 0 && a[1] != "p":
		major, err1 := strconv.ParseUint(a[2], 10, 32)
		minor, err2 := strconv.ParseUint(a[3], 10, 32)
		if err1 != nil || err2 != nil {
			return std.Errorf(args[0], "%s %s: not a device number", a[2], a[3])
		}
		device = int(unix.Mkdev(uint32(major), uint32(minor)))
	default:
		return std.Errorf(args[0], "usage: mknod [-m MODE] NAME b|c|p [MAJOR MINOR]")
	}
	if err := unix.Mknod(a[0], kinds[a[1]]|0o666, device); err != nil {
		return std.Errorf(args[0], "%s: %v", a[0], err)
	}
	if mode := o.Value('m', ""); mode != "" {
		if err := setMode(mode, a[0]); err != nil {
			return std.Fail(args[0], err)
		}
	}
	return 0
}
