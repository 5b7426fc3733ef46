// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// ID shows who one is: id [-unGg] [USER].
func ID(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "ugnG", "user=u", "group=g", "name=n", "groups=G")
	if err != nil {
		return std.Fail(args[0], err)
	}
	users, groups := tool.Users(), tool.Groups()
	uid, gid := os.Geteuid(), os.Getegid()
	extra, _ := os.Getgroups() // none where the kernel says none
	if len(o.Args) > 0 {
		line := users.Line(o.Args[0])
		if line == nil {
			return std.Errorf(args[0], "%s: no such user", o.Args[0])
		}
		if uid, err = strconv.Atoi(line[2]); err == nil {
			gid, err = strconv.Atoi(line[3])
		}
		if err != nil {
			return std.Fail(args[0], err)
		}
		extra = groups.MemberOf(o.Args[0])
	}
	all := append([]int{gid}, slices.DeleteFunc(extra, func(g int) bool { return g == gid })...)
	show := func(n *tool.Names, id int) string {
		if o.Has("n") {
			return n.Name(id)
		}
		return strconv.Itoa(id)
	}
	switch {
	case o.Has("u"):
		fmt.Fprintln(std.Out, show(users, uid))
	case o.Has("g"):
		fmt.Fprintln(std.Out, show(groups, gid))
	case o.Has("G"):
		fmt.Fprintln(std.Out, joined(all, func(g int) string { return show(groups, g) }, " "))
	default:
		both := func(n *tool.Names, id int) string {
			if name, ok := n.Known(id); ok {
				return fmt.Sprintf("%d(%s)", id, name)
			}
			return strconv.Itoa(id)
		}
		fmt.Fprintf(std.Out, "uid=%s gid=%s groups=%s\n", both(users, uid), both(groups, gid),
			joined(all, func(g int) string { return both(groups, g) }, ","))
	}
	return 0
}

// joined is numbers as text, with something between them.
func joined(ids []int, text func(int) string, between string) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = text(id)
	}
	return strings.Join(parts, between)
}

// Whoami prints the name of the effective user.
func Whoami(std tool.IO, _ []string) int {
	fmt.Fprintln(std.Out, tool.Users().Name(os.Geteuid()))
	return 0
}

// Hostname prints the host name, or sets that of the UTS namespace: hostname [NAME].
func Hostname(std tool.IO, args []string) int {
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		if err := unix.Sethostname([]byte(args[1])); err != nil {
			return std.Errorf(args[0], "%s: %v", args[1], err)
		}
		return 0
	}
	name, err := os.Hostname()
	if err != nil {
		return std.Fail(args[0], err)
	}
	fmt.Fprintln(std.Out, name)
	return 0
}

// Uname prints what uname(2) says: uname [-asnrvm].
func Uname(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "asnrvmpo", "all=a")
	if err != nil {
		return std.Fail(args[0], err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return std.Fail(args[0], err)
	}
	var parts []string
	for _, p := range []struct {
		letters string
		text    []byte
	}{{"as", u.Sysname[:]}, {"an", u.Nodename[:]}, {"ar", u.Release[:]}, {"av", u.Version[:]}, {"amp", u.Machine[:]}} {
		if o.Has(p.letters) || p.letters == "as" && !o.Has("nrvmpo") {
			parts = append(parts, unix.ByteSliceToString(p.text))
		}
	}
	if o.Has("ao") {
		parts = append(parts, "GNU/Linux")
	}
	fmt.Fprintln(std.Out, strings.Join(parts, " "))
	return 0
}

// parseMeminfo reads /proc/meminfo: the values in KiB by name.
//
//	MemTotal:       16384256 kB
//	(1)             (2)
func parseMeminfo(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) >= 2 {
			values[strings.TrimSuffix(f[0], ":")], _ = strconv.ParseUint(f[1], 10, 64) // the kernel writes numbers here
		}
	}
	return values
}

// Free shows the memory of the machine, which is not what a container may use: free [-bkmgh].
func Free(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "bkmgh", "human=h")
	if err != nil {
		return std.Fail(args[0], err)
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return std.Fail(args[0], err)
	}
	m := parseMeminfo(string(text))
	show := func(kib uint64) string {
		switch {
		case o.Has("h"):
			return tool.Human(kib << 10)
		case o.Has("b"):
			return fmt.Sprint(kib << 10)
		case o.Has("m"):
			return fmt.Sprint(kib >> 10)
		case o.Has("g"):
			return fmt.Sprint(kib >> 20)
		}
		return fmt.Sprint(kib)
	}
	cache := m["Buffers"] + m["Cached"] + m["SReclaimable"]
	// The widths are those of free(1): a name of 7, columns of 12.
	fmt.Fprintf(std.Out, "%19s%12s%12s%12s%12s%12s\n", "total", "used", "free", "shared", "buff/cache", "available")
	fmt.Fprint(std.Out, "Mem:   ")
	for _, n := range []uint64{m["MemTotal"], m["MemTotal"] - m["MemAvailable"], m["MemFree"], m["Shmem"], cache, m["MemAvailable"]} {
		fmt.Fprintf(std.Out, "%12s", show(n))
	}
	fmt.Fprintf(std.Out, "\nSwap:  %12s%12s%12s\n", show(m["SwapTotal"]), show(m["SwapTotal"]-m["SwapFree"]), show(m["SwapFree"]))
	return 0
}

// Uptime shows how long the machine runs and its load; see sysinfo(2).
func Uptime(std tool.IO, args []string) int {
	var s unix.Sysinfo_t
	if err := unix.Sysinfo(&s); err != nil {
		return std.Fail(args[0], err)
	}
	up := time.Duration(s.Uptime) * time.Second
	text := fmt.Sprintf("%d:%02d", int(up.Hours())%24, int(up.Minutes())%60)
	if days := int(up.Hours()) / 24; days > 0 {
		text = fmt.Sprintf("%d days, %s", days, text)
	}
	load := func(i int) float64 { return float64(s.Loads[i]) / (1 << 16) }
	fmt.Fprintf(std.Out, " %s up %s,  load average: %.2f, %.2f, %.2f\n", time.Now().Format("15:04:05"), text, load(0), load(1), load(2))
	return 0
}

// Nproc prints the number of CPUs this process may run on: sched_getaffinity(2), which a cpuset limits and a CPU quota does not.
func Nproc(std tool.IO, args []string) int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil || len(args) > 1 && args[1] == "--all" {
		fmt.Fprintln(std.Out, runtime.NumCPU())
		return 0
	}
	fmt.Fprintln(std.Out, set.Count())
	return 0
}

// Which prints the file of a command: which NAME….
func Which(std tool.IO, args []string) int {
	code := 0
	for _, name := range args[1:] {
		path, err := exec.LookPath(name)
		if err != nil {
			code = 1
			continue
		}
		fmt.Fprintln(std.Out, path)
	}
	return code
}
