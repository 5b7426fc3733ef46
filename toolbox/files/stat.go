// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Stat shows what the kernel knows about a file: stat [-L] [-c FORMAT] FILE…. With -f it shows its file system.
func Stat(std tool.IO, args []string) int {
	return each(std, args, "Lfc:", []string{"format=c", "dereference=L", "file-system=f"}, func(o *tool.Options, name string) error {
		if o.Has("f") {
			return statFileSystem(std, o, name)
		}
		look := os.Lstat
		if o.Has("L") {
			look = os.Stat
		}
		info, err := look(name)
		if err != nil {
			return err
		}
		format := o.Value('c', "  File: %N\n  Size: %s\tBlocks: %b\t%F\nDevice: %D\tInode: %i\tLinks: %h\n"+
			"Access: (%4/%A)  Uid: (%u/%U)  Gid: (%g/%G)\nModify: %y\nChange: %z")
		fmt.Fprintln(std.Out, fill(format, statFields(name, info)))
		return nil
	})
}

// fill replaces each %x in a format.
func fill(format string, fields map[byte]string) string {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		if value, ok := fields[format[i]]; ok {
			out.WriteString(value)
		} else if format[i] == '%' {
			out.WriteByte('%')
		} else {
			out.WriteString("%" + format[i:i+1])
		}
	}
	return out.String()
}

// statFields is what the letters of stat -c mean.
func statFields(name string, info fs.FileInfo) map[byte]string {
	st := info.Sys().(*syscall.Stat_t)
	quoted := "'" + name + "'"
	if target, err := os.Readlink(name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		quoted += " -> '" + target + "'"
	}
	mtime, ctime := info.ModTime(), unixTime(st.Ctim)
	const layout = "2006-01-02 15:04:05.000000000 -0700"
	return map[byte]string{
		'n': name, 'N': quoted, 's': fmt.Sprint(info.Size()), 'b': fmt.Sprint(st.Blocks), 'B': "512",
		'F': kindName(info), 'd': fmt.Sprint(st.Dev), 'D': fmt.Sprintf("%xh", st.Dev), 'i': fmt.Sprint(st.Ino), 'h': fmt.Sprint(st.Nlink),
		'4': fmt.Sprintf("%04o", tool.UnixMode(info.Mode())), // ours alone: %a with four digits
		'a': fmt.Sprintf("%o", tool.UnixMode(info.Mode())), 'A': tool.ModeString(info.Mode()), 'f': fmt.Sprintf("%x", st.Mode),
		'u': fmt.Sprint(st.Uid), 'U': tool.Users().Name(int(st.Uid)), 'g': fmt.Sprint(st.Gid), 'G': tool.Groups().Name(int(st.Gid)),
		't': fmt.Sprintf("%x", unix.Major(st.Rdev)), 'T': fmt.Sprintf("%x", unix.Minor(st.Rdev)),
		'y': mtime.Format(layout), 'Y': fmt.Sprint(mtime.Unix()), 'z': ctime.Format(layout), 'Z': fmt.Sprint(ctime.Unix()),
	}
}

// kindName is the kind of a file in words.
func kindName(info fs.FileInfo) string {
	switch tool.KindLetter(info.Mode()) {
	case 'd':
		return "directory"
	case 'l':
		return "symbolic link"
	case 'p':
		return "fifo"
	case 's':
		return "socket"
	case 'c':
		return "character special file"
	case 'b':
		return "block special file"
	}
	if info.Size() == 0 {
		return "regular empty file"
	}
	return "regular file"
}

// statFileSystem shows the file system of a file: %T is its type, by the magic number of statfs(2).
func statFileSystem(std tool.IO, o *tool.Options, name string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	kind := fmt.Sprintf("%x", st.Type)
	known := map[int64]string{
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs",
		unix.CGROUP2_SUPER_MAGIC: "cgroup2fs", unix.CGROUP_SUPER_MAGIC: "cgroupfs", unix.EXT4_SUPER_MAGIC: "ext2/ext3",
		unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	}
	if n, ok := known[st.Type]; ok {
		kind = n
	}
	fields := map[byte]string{
		'n': name, 'T': kind, 't': fmt.Sprintf("%x", st.Type), 's': fmt.Sprint(st.Bsize), 'b': fmt.Sprint(st.Blocks),
		'f': fmt.Sprint(st.Bfree), 'a': fmt.Sprint(st.Bavail), 'c': fmt.Sprint(st.Files), 'd': fmt.Sprint(st.Ffree),
	}
	format := "  File: %n\n  Type: %T\nBlocks: %b of %s bytes, %f free\nInodes: %c, %d free"
	fmt.Fprintln(std.Out, fill(o.Value('c', format), fields))
	return nil
}

// device is the file system a file is on.
func device(info fs.FileInfo) uint64 { return uint64(info.Sys().(*syscall.Stat_t).Dev) }

// owner is the user a file belongs to.
func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }
