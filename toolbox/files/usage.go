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
	"text/tabwriter"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Df shows how full file systems are: df [-hiTk] [FILE…], all mounted ones by default. See statfs(2).
func Df(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "hiTkPa", "human-readable=h", "inodes=i")
	if err != nil {
		return std.Fail(args[0], err)
	}
	mounts, err := tool.ReadMounts()
	if err != nil {
		return std.Fail(args[0], err)
	}
	out := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	defer out.Flush()
	kind := ""
	if o.Has("T") {
		kind = "Type\t"
	}
	title := "1K-blocks\tUsed\tAvailable\tUse%"
	if o.Has("i") {
		title = "Inodes\tIUsed\tIFree\tIUse%"
	} else if o.Has("h") {
		title = "Size\tUsed\tAvail\tUse%"
	}
	fmt.Fprintf(out, "Filesystem\t%s%s\tMounted on\n", kind, title)
	code := 0
	for _, name := range o.Args {
		if m, err := mountOf(mounts, name); err != nil {
			code = std.Fail(args[0], err)
		} else {
			dfLine(out, o, m, true)
		}
	}
	for _, m := range mounts {
		if len(o.Args) == 0 {
			dfLine(out, o, m, o.Has("a"))
		}
	}
	return code
}

// mountOf is the mount that holds a file: the last one with the longest path above it.
func mountOf(mounts []tool.Mount, name string) (tool.Mount, error) {
	path, err := filepath.Abs(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return tool.Mount{}, err
	}
	var best tool.Mount
	for _, m := range mounts {
		if (path == m.Point || strings.HasPrefix(path, strings.TrimSuffix(m.Point, "/")+"/")) && len(m.Point) >= len(best.Point) {
			best = m
		}
	}
	if best.Point == "" {
		return best, fmt.Errorf("%s: on no mount that is visible", name)
	}
	return best, nil
}

// dfLine prints the line of one mount. File systems without blocks, such as proc, are left out unless asked for.
func dfLine(out *tabwriter.Writer, o *tool.Options, m tool.Mount, always bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(m.Point, &st); err != nil || st.Blocks == 0 && !always {
		return
	}
	unit := uint64(st.Frsize)
	total, free, avail := st.Blocks*unit, st.Bfree*unit, st.Bavail*unit
	show := func(n uint64) string { return fmt.Sprint(n / 1024) }
	switch {
	case o.Has("i"):
		total, free, avail = st.Files, st.Ffree, st.Ffree
		show = func(n uint64) string { return fmt.Sprint(n) }
	case o.Has("h"):
		show = tool.Human
	}
	used := total - free
	percent := "-"
	if used+avail > 0 {
		percent = fmt.Sprintf("%d%%", (used*100+used+avail-1)/(used+avail))
	}
	kind := ""
	if o.Has("T") {
		kind = m.Type + "\t"
	}
	fmt.Fprintf(out, "%s\t%s%s\t%s\t%s\t%s\t%s\n", m.Source, kind, show(total), show(used), show(avail), percent, m.Point)
}

// Du shows how much space files take: du [-shkac] [FILE…], in KiB by default. A file with several names counts once.
func Du(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "shkac", "summarize=s", "human-readable=h")
	if err != nil {
		return std.Fail(args[0], err)
	}
	if len(o.Args) == 0 {
		o.Args = []string{"."}
	}
	d := &usage{std: std, name: args[0], o: o, seen: map[[2]uint64]bool{}}
	sum := uint64(0)
	for _, name := range o.Args {
		blocks, err := d.add(name, true)
		if err != nil {
			d.code = std.Fail(args[0], err)
			continue
		}
		sum += blocks
	}
	if o.Has("c") {
		d.print(sum, "total")
	}
	return d.code
}

// usage is one run of du.
type usage struct {
	std  tool.IO
	name string
	o    *tool.Options
	seen map[[2]uint64]bool // device and inode
	code int
}

// add is the blocks of 512 bytes below a path; folders are printed on the way.
func (d *usage) add(path string, top bool) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	blocks := uint64(st.Blocks)
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if id := [2]uint64{uint64(st.Dev), st.Ino}; !isDir && st.Nlink > 1 {
		if d.seen[id] {
			return 0, nil
		}
		d.seen[id] = true
	}
	if isDir {
		entries, err := os.ReadDir(path)
		if err != nil {
			d.code = d.std.Fail(d.name, err)
		}
		for _, e := range entries {
			n, err := d.add(filepath.Join(path, e.Name()), false)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				d.code = d.std.Fail(d.name, err)
			}
			blocks += n
		}
	}
	if top || !d.o.Has("s") && (isDir || d.o.Has("a")) {
		d.print(blocks, path)
	}
	return blocks, nil
}

// print prints one line.
func (d *usage) print(blocks uint64, path string) {
	size := fmt.Sprint((blocks + 1) / 2)
	if d.o.Has("h") {
		size = tool.Human(blocks * 512)
	}
	fmt.Fprintf(d.std.Out, "%s\t%s\n", size, path)
}
