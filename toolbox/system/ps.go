// SPDX-License-Identifier: Apache-2.0

package system

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// ticks is the number of clock ticks a second that /proc counts in: USER_HZ, 100 on every architecture Go knows.
const ticks = 100

// proc is one process as ps shows it.
type proc struct {
	pid, ppid, pgid, sid int
	uid                  int
	state                string
	tty                  int
	cpu                  uint64 // ticks
	threads              int
	start                uint64 // ticks since boot
	vsz, rss             uint64 // KiB
	nice                 int
	comm                 string
	command              string
}

// parseStat reads the text of /proc/PID/stat; see proc_pid_stat(5).
//
//	42 (my prog) S 1  42  42  34816 … 12    3     … 20   0    1     0    88    9441280 …
//	(1) (2)     (3)(4)(5) (6) (7)     (14)  (15)    (18)(19) (20)       (22)  (23)
//
// (1) pid, (2) name in parentheses, (3) state, (4) parent, (5) group, (6) session, (7) terminal, (14) user and (15) system
// ticks, (19) nice, (20) threads, (22) start, (23) virtual size in bytes, (24) resident pages.
func parseStat(text []byte) (proc, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open || end+2 > len(text) {
		return proc{}, fmt.Errorf("stat: no name in %q", text)
	}
	f := strings.Fields(string(text[end+1:])) // f[0] is field (3)
	if len(f) < 22 {
		return proc{}, fmt.Errorf("stat: %d fields", len(f))
	}
	field := func(n int) uint64 {
		v, _ := strconv.ParseInt(f[n-3], 10, 64) // the kernel writes numbers here
		return uint64(v)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	return proc{
		pid: pid, comm: string(text[open+1 : end]), state: f[0],
		ppid: int(field(4)), pgid: int(field(5)), sid: int(field(6)), tty: int(field(7)),
		cpu: field(14) + field(15), nice: int(int64(field(19))), threads: int(field(20)), start: field(22),
		vsz: field(23) / 1024, rss: field(24) * uint64(os.Getpagesize()) / 1024,
	}, err
}

// readProcess reads one process; it may have gone meanwhile.
func readProcess(pid string) (proc, error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return proc{}, err
	}
	p, err := parseStat(text)
	if err != nil {
		return proc{}, err
	}
	info, err := os.Stat("/proc/" + pid)
	if err != nil {
		return proc{}, err
	}
	p.uid = int(info.Sys().(*syscall.Stat_t).Uid)
	line, _ := os.ReadFile("/proc/" + pid + "/cmdline") // empty for a kernel thread and a zombie
	p.command = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if p.command == "" {
		p.command = "[" + p.comm + "]"
	}
	return p, nil
}

// processes is all processes that /proc shows, by number.
func processes() ([]proc, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []proc
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if p, err := readProcess(e.Name()); err == nil { // else it has ended
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("/proc is empty: mount -t proc proc /proc")
	}
	slices.SortFunc(list, func(a, b proc) int { return a.pid - b.pid })
	return list, nil
}

// Ps lists processes: ps, ps aux, ps -ef, ps -o pid,comm,… [-p PID]. All processes of the PID namespace that /proc belongs to are shown.
func Ps(std tool.IO, args []string) int {
	plain := append([]string{}, args[1:]...)
	if len(plain) > 0 && !strings.HasPrefix(plain[0], "-") { // ps aux
		plain[0] = "-" + plain[0]
	}
	o, err := tool.Parse(plain, "aAxuefwlo:p:")
	if err != nil {
		return std.Fail(args[0], err)
	}
	list, err := processes()
	if err != nil {
		return std.Fail(args[0], err)
	}
	columns := "pid,user,stat,command"
	switch {
	case o.Has("o"):
		columns = strings.Join(o.Values('o'), ",")
	case o.Has("f"):
		columns = "user,pid,ppid,stime,tty,time,command"
	case o.Has("u"):
		columns = "user,pid,vsz,rss,tty,stat,stime,time,command"
	case o.Has("l"):
		columns = "user,pid,ppid,pgid,sid,stat,tty,time,command"
	}
	if err := printProcesses(std, list, columns, o.Values('p')); err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// printProcesses prints the columns of each process, of those in only if it names any.
func printProcesses(std tool.IO, list []proc, columns string, only []string) error {
	names := strings.Split(strings.ReplaceAll(columns, " ", ","), ",")
	users := tool.Users()
	out := tabwriter.NewWriter(std.Out, 0, 0, 1, ' ', 0)
	titles, bare := make([]string, len(names)), true
	for i, name := range names {
		key, title, given := strings.Cut(name, "=") // -o pid= has no title
		names[i] = key
		if !given {
			title = strings.ToUpper(key)
		}
		titles[i] = title
		bare = bare && title == ""
		if _, err := (proc{}).column(key, users); err != nil {
			return err
		}
	}
	if !bare {
		fmt.Fprintln(out, strings.Join(titles, "\t"))
	}
	for _, p := range list {
		if len(only) > 0 && !slices.Contains(strings.Split(strings.Join(only, ","), ","), strconv.Itoa(p.pid)) {
			continue
		}
		cells := make([]string, len(names))
		for i, name := range names {
			cells[i], _ = p.column(name, users) // every name was tried above
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	return out.Flush()
}

// column is one cell.
func (p proc) column(name string, users *tool.Names) (string, error) {
	switch name {
	case "pid":
		return strconv.Itoa(p.pid), nil
	case "ppid":
		return strconv.Itoa(p.ppid), nil
	case "pgid", "pgrp":
		return strconv.Itoa(p.pgid), nil
	case "sid", "sess":
		return strconv.Itoa(p.sid), nil
	case "uid":
		return strconv.Itoa(p.uid), nil
	case "user":
		return users.Name(p.uid), nil
	case "stat", "s", "state":
		return p.stat(name), nil
	case "tty", "tt":
		return ttyName(p.tty), nil
	case "time":
		s := p.cpu / ticks
		return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60), nil
	case "stime", "start":
		return p.started(), nil
	case "vsz":
		return strconv.FormatUint(p.vsz, 10), nil
	case "rss":
		return strconv.FormatUint(p.rss, 10), nil
	case "ni", "nice":
		return strconv.Itoa(p.nice), nil
	case "nlwp", "thcount":
		return strconv.Itoa(p.threads), nil
	case "comm":
		return p.comm, nil
	case "args", "command", "cmd":
		return p.command, nil
	}
	if kind, ok := strings.CutSuffix(name, "ns"); ok {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.pid, kind)) // "" where it may not be read
		return target, nil
	}
	return "", fmt.Errorf("%s: no such column", name)
}

// stat is the state with the letters ps adds: s for the leader of a session, l for several threads, < and N for nice.
func (p proc) stat(name string) string {
	text := p.state
	if name != "stat" {
		return text
	}
	if p.nice < 0 {
		text += "<"
	} else if p.nice > 0 {
		text += "N"
	}
	if p.sid == p.pid {
		text += "s"
	}
	if p.threads > 1 {
		text += "l"
	}
	return text
}

// started is the time of day at which the process was started.
func (p proc) started() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return "?"
	}
	return time.Now().Add(time.Duration(p.start)*time.Second/ticks - time.Duration(now.Nano())).Format("15:04")
}

// ttyName is the name of a terminal's device number.
func ttyName(device int) string {
	major, minor := unix.Major(uint64(device)), unix.Minor(uint64(device))
	switch {
	case device == 0:
		return "?"
	case major >= 136 && major <= 143:
		return fmt.Sprintf("pts/%d", (major-136)<<20|minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}
