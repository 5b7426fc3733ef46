// SPDX-License-Identifier: Apache-2.0

package files

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"stave/toolbox/tool"
)

// entry is one file that ls shows.
type entry struct {
	name string // as shown
	path string
	info fs.FileInfo
}

// lister is one run of ls.
type lister struct {
	std    tool.IO
	out    *bufio.Writer
	name   string
	o      *tool.Options
	users  *tool.Names
	groups *tool.Names
	code   int
}

// Ls lists files: ls [-aA1CdFhilnRrSt] [FILE…].
func Ls(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "aA1CdFhilnRrStp", "all=a", "inode=i", "recursive=R", "human-readable=h")
	if err != nil {
		return std.Fail(args[0], err)
	}
	l := &lister{std: std, out: bufio.NewWriter(std.Out), name: args[0], o: o, users: tool.Users(), groups: tool.Groups()}
	names := o.Args
	if len(names) == 0 {
		names = []string{"."}
	}
	var plain []entry
	var folders []string
	for _, name := range names {
		info, err := l.stat(name)
		switch {
		case err != nil:
			l.fail(err)
		case info.IsDir() && !o.Has("d"):
			folders = append(folders, name)
		default:
			plain = append(plain, entry{name, name, info})
		}
	}
	l.sort(plain)
	l.print(plain)
	for i, name := range folders {
		if i > 0 || len(plain) > 0 {
			fmt.Fprintln(l.out)
		}
		l.folder(name, len(names) > 1 || o.Has("R"))
	}
	if err := l.out.Flush(); err != nil {
		return 1
	}
	return l.code
}

// fail prints an error and goes on.
func (l *lister) fail(err error) {
	l.out.Flush()
	l.std.Fail(l.name, err)
	l.code = 1
}

// stat looks at a name on the command line: a link to a folder means the folder, unless -l or -d ask about the link.
func (l *lister) stat(name string) (fs.FileInfo, error) {
	if !l.o.Has("ld") {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			return info, nil
		}
	}
	return os.Lstat(name)
}

// folder lists one folder, and with -R those in it.
func (l *lister) folder(name string, titled bool) {
	list, err := os.ReadDir(name)
	if err != nil {
		l.fail(err)
	}
	var entries []entry
	if l.o.Has("a") {
		for _, dot := range []string{".", ".."} {
			if info, err := os.Lstat(name + "/" + dot); err == nil {
				entries = append(entries, entry{dot, name + "/" + dot, info})
			}
		}
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") && !l.o.Has("aA") {
			continue
		}
		if info, err := e.Info(); err == nil { // else it has gone meanwhile
			entries = append(entries, entry{e.Name(), filepath.Join(name, e.Name()), info})
		}
	}
	l.sort(entries)
	if titled {
		fmt.Fprintf(l.out, "%s:\n", name)
	}
	if l.o.Has("ln") {
		blocks := int64(0)
		for _, e := range entries {
			blocks += e.info.Sys().(*syscall.Stat_t).Blocks
		}
		fmt.Fprintf(l.out, "total %d\n", blocks/2)
	}
	l.print(entries)
	if !l.o.Has("R") {
		return
	}
	for _, e := range entries {
		if e.info.IsDir() && e.name != "." && e.name != ".." {
			fmt.Fprintln(l.out)
			l.folder(e.path, true)
		}
	}
}

// sort orders entries by name, by time (-t) or by size (-S), backwards with -r.
func (l *lister) sort(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int {
		c := 0
		switch {
		case l.o.Has("t"):
			c = b.info.ModTime().Compare(a.info.ModTime())
		case l.o.Has("S"):
			c = cmp.Compare(b.info.Size(), a.info.Size())
		}
		if c == 0 {
			c = strings.Compare(a.name, b.name)
		}
		if l.o.Has("r") {
			return -c
		}
		return c
	})
}

// print prints entries: long, one a line, or in columns at a terminal.
func (l *lister) print(entries []entry) {
	if l.o.Has("ln") {
		l.long(entries)
		return
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = l.inode(e) + e.name + l.mark(e.info.Mode())
	}
	f, isFile := tool.Inherit(l.std.Out).(*os.File)
	if !l.o.Has("1") && (l.o.Has("C") || isFile && term.IsTerminal(int(f.Fd()))) {
		width := 80
		if isFile {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				width = w
			}
		}
		columns(l.out, names, width)
		return
	}
	for _, name := range names {
		fmt.Fprintln(l.out, name)
	}
}

// inode is the number of the file, with -i.
func (l *lister) inode(e entry) string {
	if !l.o.Has("i") {
		return ""
	}
	return fmt.Sprintf("%7d ", e.info.Sys().(*syscall.Stat_t).Ino)
}

// mark is the letter that -F and -p put after a name.
func (l *lister) mark(m fs.FileMode) string {
	switch {
	case m.IsDir() && l.o.Has("Fp"):
		return "/"
	case !l.o.Has("F"):
	case m&fs.ModeSymlink != 0:
		return "@"
	case m&fs.ModeNamedPipe != 0:
		return "|"
	case m&fs.ModeSocket != 0:
		return "="
	case m.IsRegular() && m&0o111 != 0:
		return "*"
	}
	return ""
}

// columns prints names down columns of the same width.
func columns(w io.Writer, names []string, width int) {
	longest := 0
	for _, n := range names {
		longest = max(longest, len(n)+2)
	}
	if longest == 0 {
		return
	}
	across := max(1, width/longest)
	rows := (len(names) + across - 1) / across
	for row := range rows {
		var line strings.Builder
		for i := row; i < len(names); i += rows {
			line.WriteString(fmt.Sprintf("%-*s", longest, names[i]))
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// long prints entries with -l: mode, links, owner, group, size, time, name. Texts are aligned to the left, numbers to the right.
func (l *lister) long(entries []entry) {
	rows := make([][]string, len(entries))
	var widths [5]int
	for i, e := range entries {
		rows[i] = l.row(e)
		for column, text := range rows[i] {
			widths[column] = max(widths[column], len(text))
		}
	}
	for i, e := range entries {
		r := rows[i]
		fmt.Fprintf(l.out, "%s%*s %-*s %-*s %*s %s ", r[0], widths[1]+1, r[1], widths[2], r[2], widths[3], r[3], widths[4], r[4],
			shortTime(e.info.ModTime()))
		if target, err := os.Readlink(e.path); err == nil {
			fmt.Fprintf(l.out, "%s -> %s\n", e.name, target)
			continue
		}
		fmt.Fprintln(l.out, e.name+l.mark(e.info.Mode()))
	}
}

// row is the columns of an entry that are as wide as the widest text in them.
func (l *lister) row(e entry) []string {
	st := e.info.Sys().(*syscall.Stat_t)
	size := fmt.Sprint(e.info.Size())
	switch {
	case e.info.Mode()&fs.ModeDevice != 0:
		size = fmt.Sprintf("%d, %d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	case l.o.Has("h"):
		size = tool.Human(uint64(e.info.Size()))
	}
	user, group := l.users.Name(int(st.Uid)), l.groups.Name(int(st.Gid))
	if l.o.Has("n") {
		user, group = fmt.Sprint(st.Uid), fmt.Sprint(st.Gid)
	}
	return []string{l.inode(e) + tool.ModeString(e.info.Mode()), fmt.Sprint(st.Nlink), user, group, size}
}

// shortTime is a time as ls shows it: with the hour if it is within half a year, else with the year.
func shortTime(t time.Time) string {
	if age := time.Since(t); age > 182*24*time.Hour || age < -time.Hour {
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}
