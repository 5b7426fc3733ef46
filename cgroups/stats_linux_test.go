// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// figure reads a file of one number, or of a line with a name and a number.
func figure(t *testing.T, name, key string) uint64 {
	t.Helper()
	for line := range strings.Lines(read(t, name) + "\n") {
		words := strings.Fields(line)
		if key == "" || words[0] == key {
			n, err := strconv.ParseUint(words[len(words)-1], 10, 64)
			if err != nil {
				t.Fatalf("%s: %q", name, line)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", name, key)
	return 0
}

// hog is a script that takes memory, 64 MiB and a little, and then uses the processor and the kernel.
const hog = "exec dd if=/dev/zero of=/dev/null bs=64M 2>/dev/null"

// TestStats freezes a hog of memory and processor time, so that nothing moves, and compares the statistics with the
// kernel's files, read here in another way, and with what /proc says of the process.
func TestStats(t *testing.T) {
	g := newGroup(t)
	memory, ok := g.Folder("memory")
	if !ok {
		t.Fatal("no controller memory")
	}
	pid := start(t, g, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; "+hog).Process.Pid // time of its own, too
	witness.Until(t, "the hog has its memory", func() bool { return residents(t, pid) > 64<<20 })
	works(t, pid)
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	before := figure(t, memory.File(names(memory, "memory.usage_in_bytes", "memory.current")), "")
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	after := figure(t, memory.File(names(memory, "memory.usage_in_bytes", "memory.current")), "")
	m := s.Memory
	if m.Usage < min(before, after) || m.Usage > max(before, after) || m.Usage < 60<<20 || *m.Peak < m.Usage || m.Limit != Unlimited {
		t.Errorf("memory %+v, and the kernel says %d before and %d after", m, before, after)
	}
	// Each processor counts up to 64 pages for itself before it adds them.
	if rss := residents(t, pid); m.RSS < 60<<20 || m.RSS > rss+4<<20 {
		t.Errorf("%d bytes of anonymous memory, and the process has %d", m.RSS, rss)
	}
	key := names(memory, "total_rss", "anon")
	if rss := figure(t, memory.File("memory.stat"), key); max(rss, m.RSS)-min(rss, m.RSS) > 4<<20 || m.Detail[key] != m.RSS {
		t.Errorf("%d bytes of anonymous memory, and the kernel says %d", m.RSS, rss)
	}
	checkCPU(t, g, s.CPU, pid)
	if *s.Pids != (PidsStats{1, Unlimited}) {
		t.Errorf("pids %+v, want one", s.Pids)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
}

// names picks a name by the version of a folder.
func names(f Folder, v1, v2 string) string {
	if f.Version == 1 {
		return v1
	}
	return v2
}

// residents is the resident memory of a process in bytes, of proc_pid_statm(5).
func residents(t *testing.T, pid int) uint64 {
	t.Helper()
	pages, err := strconv.ParseUint(strings.Fields(read(t, fmt.Sprintf("/proc/%d/statm", pid)))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// checkCPU compares processor time with the kernel's file, exactly, and with that of the only process, which lived
// outside for a moment.
func checkCPU(t *testing.T, g Group, c *CPUStats, pid int) {
	t.Helper()
	f, _ := g.Folder("cpuacct")
	want := uint64(0)
	if f.Version == 1 {
		want = figure(t, f.File("cpuacct.usage"), "")
		var sum uint64
		for _, n := range c.PerCPU {
			sum += n
		}
		if sum != c.Usage {
			t.Errorf("%v ns on the processors, want %d in all", c.PerCPU, c.Usage)
		}
	} else {
		want = figure(t, f.File("cpu.stat"), "usage_usec") * 1000
	}
	used, _ := ticks(t, pid)
	ofProcess := time.Duration(used) * 10 * time.Millisecond
	difference := time.Duration(c.Usage) - ofProcess
	if c.Usage != want || difference.Abs() > 300*time.Millisecond || c.Usage < uint64(80*time.Millisecond) {
		t.Errorf("used %d ns, the kernel says %d, and the process has %v", c.Usage, want, ofProcess)
	}
	stat, user, system, unit := f.File("cpuacct.stat"), "user", "system", uint64(10*time.Millisecond)
	if f.Version == 2 {
		stat, user, system, unit = f.File("cpu.stat"), "user_usec", "system_usec", 1000
	}
	if c.User != figure(t, stat, user)*unit || c.System != figure(t, stat, system)*unit {
		t.Errorf("user %d and system %d, and the kernel says %s", c.User, c.System, read(t, stat))
	}
	if parts := c.User + c.System; max(parts, c.Usage)-min(parts, c.Usage) > uint64(30*time.Millisecond) {
		t.Errorf("user %d and system %d are not %d", c.User, c.System, c.Usage)
	}
}

// TestStatsOfLimits reads limits back, and how often they were in the way: a quota of the processor, and a memory limit
// that a hog outgrows.
func TestStatsOfLimits(t *testing.T) {
	g := newGroup(t)
	memory, _ := g.Folder("memory")
	cpu, _ := g.Folder("cpu")
	pids, _ := g.Folder("pids")
	write(t, pids.File("pids.max"), "7")
	limitMemory(t, g, 32<<20)
	write(t, cpu.File(names(cpu, "cpu.cfs_quota_us", "cpu.max")), "10000")
	start(t, g, busy)
	witness.Until(t, "the quota is used up", func() bool { return figure(t, cpu.File("cpu.stat"), "nr_throttled") > 2 })
	write(t, cpu.File(names(cpu, "cpu.cfs_quota_us", "cpu.max")), names(cpu, "-1", "max"))
	start(t, g, hog).Wait()
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.Pids.Limit != 7 || s.Pids.Current != 1 {
		t.Errorf("pids %+v", s.Pids)
	}
	failures := figure(t, memory.File(names(memory, "memory.failcnt", "memory.events")), names(memory, "", "max"))
	if m := s.Memory; m.Limit != 32<<20 || m.Failures != failures || failures == 0 && memory.Version == 2 || *m.Peak > 32<<20 || *m.Peak < 31<<20 {
		t.Errorf("memory %+v, and the kernel says %d failures", m, failures)
	}
	if s.Memory.SwapLimit != nil && *s.Memory.SwapLimit != 0 {
		t.Errorf("swap limit %d, want none of swap", *s.Memory.SwapLimit)
	}
	want := Throttling{
		Periods: figure(t, cpu.File("cpu.stat"), "nr_periods"), Throttled: figure(t, cpu.File("cpu.stat"), "nr_throttled"),
		Time: figure(t, cpu.File("cpu.stat"), names(cpu, "throttled_time", "throttled_usec")),
	}
	if cpu.Version == 2 {
		want.Time *= 1000
	}
	// A frozen group may end a period yet, but it is not throttled any more.
	want.Periods = s.CPU.Throttling.Periods
	if diff := cmp.Diff(want, *s.CPU.Throttling); diff != "" || want.Time < uint64(20*time.Millisecond) || want.Periods < want.Throttled {
		t.Errorf("%+v, difference:\n%s", *s.CPU.Throttling, diff)
	}
}

// limitMemory sets the limit for memory, and none of swap on top of it.
func limitMemory(t *testing.T, g Group, size int) {
	t.Helper()
	f, ok := g.Folder("memory")
	if !ok {
		t.Fatal("no controller memory")
	}
	write(t, f.File(names(f, "memory.limit_in_bytes", "memory.max")), strconv.Itoa(size))
	swap, value := "memory.memsw.limit_in_bytes", strconv.Itoa(size)
	if f.Version == 2 {
		swap, value = "memory.swap.max", "0"
	}
	if exists(f.File(swap)) {
		write(t, f.File(swap), value)
	}
}

// TestStatsOfIO writes to a disk past all caches, and compares with the counters of the process in /proc/pid/io.
func TestStatsOfIO(t *testing.T) {
	g := newGroup(t)
	f, ok := g.Folder("io")
	if !ok {
		t.Fatal("no controller io")
	}
	var stat unix.Stat_t
	folder := ""
	for _, candidate := range []string{t.TempDir(), "/scratch"} {
		if err := unix.Stat(candidate, &stat); err == nil && unix.Major(stat.Dev) != 0 && folder == "" {
			folder = candidate
		}
	}
	if folder == "" {
		t.Skip("needs filesystem: neither TMPDIR nor /scratch is on a disk")
	}
	if err := unix.Stat(folder, &stat); err != nil {
		t.Fatal(err)
	}
	device := Device{unix.Major(stat.Dev), unix.Minor(stat.Dev)}
	if f.Version == 1 { // which counts only where there is a throttle
		write(t, f.File("blkio.throttle.write_bps_device"), fmt.Sprintf("%s %d", read(t, diskOf(t, device)+"/dev"), 1<<40))
	}
	file := filepath.Join(folder, "stave-test-io")
	defer os.Remove(file)
	command := start(t, g, fmt.Sprintf("dd if=/dev/zero of=%s bs=1M count=4 oflag=direct 2>/dev/null; dd if=%[1]s of=/dev/null bs=1M iflag=direct 2>/dev/null; read never", file))
	// The children are reaped by sh, which then has their counters as well (proc_pid_io(5)).
	counters := fmt.Sprintf("/proc/%d/io", command.Process.Pid)
	witness.Until(t, "both were done", func() bool {
		return figure(t, counters, "write_bytes:") >= 4<<20 && figure(t, counters, "read_bytes:") >= 4<<20
	})
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(s.IO, func(o IOStats) bool {
		return diskOf(t, o.Device) == diskOf(t, device)
	})
	if i < 0 {
		t.Fatalf("%+v has no device %v", s.IO, device)
	}
	o := s.IO[i]
	if o.ReadBytes < 4<<20 || o.ReadBytes > 64<<20 || o.WriteBytes < 4<<20 || o.WriteBytes > 64<<20 || o.Writes < 4 || o.Writes > 1<<14 || o.Reads < 4 {
		t.Errorf("%+v, want 4 MiB each way", o)
	}
}

// diskOf is the folder in sysfs of the disk that a device is, or is a partition of.
func diskOf(t *testing.T, d Device) string {
	t.Helper()
	name, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", d.Major, d.Minor))
	if err != nil {
		t.Fatal(err)
	}
	if exists(name + "/partition") {
		return filepath.Dir(name)
	}
	return name
}

// TestStatsOfPressure has two processes for one processor's worth of time, and compares with the file before and after.
func TestStatsOfPressure(t *testing.T) {
	g := newGroup(t)
	f, ok := g.Unified()
	if !ok {
		witness.Need(t, "cgroup2:pressure")
	}
	if !exists(f.File("cpu.pressure")) {
		t.Skip("needs kernel: pressure is not measured")
	}
	for range 4 {
		start(t, g, busy)
	}
	total := func() time.Duration {
		_, value, _ := strings.Cut(strings.Split(read(t, f.File("cpu.pressure")), "\n")[0], "total=")
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * time.Microsecond
	}
	witness.Until(t, "there is pressure", func() bool { return total() > 50*time.Millisecond })
	before := total()
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Pressure["cpu"].Some; got == nil || got.Total < before || got.Total > total() {
		t.Errorf("%+v, want between %v and %v", got, before, total())
	}
	for _, resource := range []string{"memory", "io"} {
		if p, ok := s.Pressure[resource]; !ok || p.Some == nil || p.Full == nil || p.Some.Total > time.Second {
			t.Errorf("pressure for %s: %+v", resource, p)
		}
	}
	if !exists(f.File("cgroup.pressure")) {
		return
	}
	write(t, f.File("cgroup.pressure"), "0")
	if s, err = g.Stats(); err != nil || len(s.Pressure) > 0 {
		t.Errorf("switched off: %+v, error %v", s.Pressure, err)
	}
}

// TestStatsOfHugetlb looks at the sizes and limits of huge pages.
func TestStatsOfHugetlb(t *testing.T) {
	g := newGroup(t)
	f, ok := g.Folder("hugetlb")
	sizes, err := filepath.Glob(f.File("hugetlb.*.rsvd." + names(f, "limit_in_bytes", "max")))
	if err != nil {
		t.Fatal(err)
	}
	if !ok || len(sizes) == 0 {
		witness.Need(t, "cgroup1:hugetlb")
		t.Skip("needs cgroup2:hugetlb: the v2 tree does not give it to the group")
	}
	want := map[string]HugetlbStats{}
	for i, name := range sizes {
		size := strings.Split(filepath.Base(name), ".")[1]
		write(t, f.File("hugetlb."+size+"."+names(f, "limit_in_bytes", "max")), strconv.Itoa(i<<30))
		want[size] = HugetlbStats{Limit: uint64(i) << 30}
	}
	s, err := g.Stats()
	for size, h := range s.Hugetlb {
		if (h.Peak == nil) != (f.Version == 2) {
			t.Errorf("%s has the peak %v", size, h.Peak)
		}
		h.Peak = nil
		s.Hugetlb[size] = h
	}
	if diff := cmp.Diff(want, s.Hugetlb); diff != "" || err != nil {
		t.Errorf("error %v, difference:\n%s", err, diff)
	}
}
