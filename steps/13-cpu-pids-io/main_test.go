// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// number reads a number of a file of the command's cgroup.
func (r *running) number(t *testing.T, controller, v1, v2 string) int {
	t.Helper()
	n, err := strconv.Atoi(r.file(t, controller, v1, v2))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// used is the processor time of the command's cgroup, in microseconds.
func (r *running) used(t *testing.T) int {
	t.Helper()
	if f := r.folder(t, "cpuacct"); f.Version == 1 {
		return r.number(t, "cpuacct", "cpuacct.usage", "") / 1000
	}
	return keyed(t, r.file(t, "cpuacct", "", "cpu.stat"), "usage_usec")
}

// do runs an action of the step on a running cgroup.
func do(t *testing.T, action, name string) string {
	t.Helper()
	output, code := finish(t, exec.Command(step, "-name", name, "-do", action))
	if code != 0 {
		t.Fatalf("%s: exit code %d", action, code)
	}
	return output
}

// spin starts a step whose command wants a processor without end, and sees to it that the step can end when a test fails.
func spin(t *testing.T, name string, options ...string) *running {
	t.Helper()
	args := append([]string{"-name", name}, options...)
	r := begin(t, exec.Command(step, append(args, "sh", "-c", "while true; do true; done")...), "sh", false)
	t.Cleanup(func() { exec.Command(step, "-name", name, "-do", "kill").Run() }) // also a frozen one; or it has ended
	return r
}

// stop kills what runs in a cgroup and waits for the step, which has nothing to say to such a command but that.
func stop(t *testing.T, r *running, name string) {
	t.Helper()
	do(t, "kill", name)
	if code := r.end(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
}

// TestLimits reads the limits of a running command in the kernel's files.
func TestLimits(t *testing.T) {
	for _, controller := range []string{"cpu", "cpuset", "pids"} {
		needs(t, controller)
	}
	r := begin(t, exec.Command(step, "-cpus", "0.25", "-shares", "512", "-cpuset", "0", "-pids", "7", "cat"), "cat", false)
	for _, c := range []struct{ controller, v1, v2, want1, want2 string }{
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "25000", "25000 100000"},
		{"cpu", "cpu.shares", "cpu.weight", "512", "59"},
		{"cpuset", "cpuset.cpus", "cpuset.cpus", "0", "0"},
		{"pids", "pids.max", "pids.max", "7", "7"},
	} {
		want := map[int]string{1: c.want1, 2: c.want2}[r.folder(t, c.controller).Version]
		if got := r.file(t, c.controller, c.v1, c.v2); got != want {
			t.Errorf("%s or %s is %q, want %q", c.v1, c.v2, got, want)
		}
	}
	if cpus := r.status(t, "Cpus_allowed_list"); cpus != "0" {
		t.Errorf("the command may use the processors %s, want 0", cpus)
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestForkBomb lets a command fork more often than it may (not without end: a step that does not limit it is to fail here, not
// to take the machine down). It comes to its limit and no further, and the kernel has counted that.
func TestForkBomb(t *testing.T) {
	needs(t, "pids")
	r := begin(t, exec.Command(step, "-cpus", "0", "-pids", "12", "sh", "-c", "(n=0; while [ $n -lt 100 ]; do n=$((n+1)); sleep 1000 & done) 2>/dev/null; exec cat"), "cat", false)
	if n := r.number(t, "pids", "pids.current", "pids.current"); n != 11 { // the subshell that met the limit has ended
		t.Errorf("%d processes, want 11", n)
	}
	if n := keyed(t, r.file(t, "pids", "pids.events", "pids.events"), "max"); n < 1 {
		t.Errorf("fork was refused %d times", n)
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestQuota looks at the periods in which a command that never rests has run: it gets no more than its quota of each, also on a
// machine that has no time for it.
func TestQuota(t *testing.T) {
	needs(t, "cpu")
	const name, period = "test-quota", 100_000
	r := spin(t, name, "-cpus", "0.1")
	stat := func(key string) int { return keyed(t, r.file(t, "cpu", "cpu.stat", "cpu.stat"), key) }
	witness.Until(t, "the quota was used up five times", func() bool { return stat("nr_throttled") >= 5 })
	used, periods := r.used(t), stat("nr_periods")
	if most := (periods + 1) * period * 2 / 10; used > most { // 0.1, and as much again for what a tick of the clock adds
		t.Errorf("%d microseconds in %d periods, want at most %d", used, periods, most)
	}
	stop(t, r, name)
}

// TestShares lets two commands want the same processor: the one with twice the shares gets twice the time. On a machine with
// much else to do that may take more than one look.
func TestShares(t *testing.T) {
	needs(t, "cpu")
	needs(t, "cpuset")
	both := map[string]*running{}
	for name, shares := range map[string]string{"test-more": "1024", "test-less": "512"} {
		both[name] = spin(t, name, "-cpus", "0", "-cpuset", "0", "-shares", shares)
	}
	more, less := both["test-more"], both["test-less"]
	var seen []float64
	for range 3 {
		seen = append(seen, ratio(t, more, less))
		if last := seen[len(seen)-1]; last > 1.4 && last < 2.8 {
			seen = nil
			break
		}
	}
	if len(seen) > 0 {
		t.Errorf("shares of 2 to 1 gave times of %.2f to 1", seen)
	}
	for name, r := range both {
		stop(t, r, name)
	}
}

// ratio is the processor time of one command for each second of another, while that one uses a second.
func ratio(t *testing.T, more, less *running) float64 {
	t.Helper()
	look := func() (a, b float64) { // two files can't be read at once: the second is read before and after the first
		early := less.used(t)
		a = float64(more.used(t))
		return a, float64(early+less.used(t)) / 2
	}
	more1, less1 := look()
	witness.Until(t, "both have run for a while", func() bool { return float64(less.used(t))-less1 > 1_000_000 })
	more2, less2 := look()
	return (more2 - more1) / (less2 - less1)
}

// TestFreeze stops a command from outside and lets it go on. While it is frozen its cgroup uses no time, however long the test
// itself works.
func TestFreeze(t *testing.T) {
	needs(t, "freezer")
	const name = "test-freeze"
	r := spin(t, name, "-cpus", "0")
	do(t, "freeze", name)
	before := -1
	witness.Until(t, "it has left the processor", func() bool { // the kernel counts it as frozen just before it is
		now, last := r.used(t), before
		before = now
		return now == last && !strings.HasPrefix(r.status(t, "State"), "R")
	})
	work(t, 200*time.Millisecond)
	if after := r.used(t); after != before {
		t.Errorf("frozen, it has used %d microseconds", after-before)
	}
	do(t, "thaw", name)
	witness.Until(t, "it goes on", func() bool { return r.used(t) > before })
	do(t, "freeze", name)
	stop(t, r, name) // also a frozen one
}

// work keeps this process busy for a while of its own time.
func work(t *testing.T, long time.Duration) {
	t.Helper()
	var usage unix.Rusage
	for begin := int64(-1); ; {
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			t.Fatal(err)
		}
		if begin < 0 {
			begin = usage.Utime.Nano() + usage.Stime.Nano()
		}
		if usage.Utime.Nano()+usage.Stime.Nano() > begin+long.Nanoseconds() {
			return
		}
	}
}

// TestStats compares what the step says of a running cgroup with the kernel's own files.
func TestStats(t *testing.T) {
	needs(t, "pids")
	const name = "test-stats"
	r := begin(t, exec.Command(step, "-name", name, "-pids", "9", "sh", "-c", "sleep 1000 & exec cat"), "cat", false)
	output := do(t, "stats", name)
	want := "Processes and threads: " + r.file(t, "pids", "pids.current", "pids.current") + " of 9\n"
	if !strings.Contains(output, want) {
		t.Errorf("the step says %q, want %q", output, want)
	}
	_, err := os.ReadFile("/proc/pressure/cpu") // an error if the kernel was told not to measure
	if there := strings.Contains(output, "waited for cpu"); there != (err == nil && r.unified(t)) {
		t.Errorf("pressure in %q: %v", output, there)
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// unified tells whether the command is in a tree of version 2, the only one with pressure.
func (r *running) unified(t *testing.T) bool {
	t.Helper()
	return strings.Contains("\n"+r.read(t, "cgroup"), "\n0::")
}

// TestWriteRate writes past the cache of files, so that the disk sets the pace. The rule is in the kernel's file, and what takes
// two seconds at that rate takes no less than one.
func TestWriteRate(t *testing.T) {
	needs(t, "io")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	major, minor, err := disk(root)
	if err != nil {
		t.Skip("needs a disk:", err)
	}
	if err := os.Symlink("busybox", filepath.Join(root, "bin", "dd")); err != nil {
		t.Fatal(err)
	}
	const dd = "dd if=/dev/zero of=/tmp/file bs=64k count=16 oflag=direct 2>&1"
	if output, code := finish(t, exec.Command(step, "-cpus", "0", "-root", root, "sh", "-c", dd)); code != 0 {
		t.Skipf("needs a disk that can be written to past the cache: exit code %d: %s", code, output)
	}
	r := begin(t, exec.Command(step, "-cpus", "0", "-write-bps", "512k", "-root", root, "sh", "-c", "read x; "+dd), "sh", false)
	rule := strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
	want := map[int]string{1: rule + " 524288", 2: rule + " rbps=max wbps=524288 riops=max wiops=max"}[r.folder(t, "io").Version]
	if got := r.file(t, "io", "blkio.throttle.write_bps_device", "io.max"); got != want {
		t.Errorf("the rule is %q, want %q", got, want)
	}
	began := time.Now()
	if code := r.end(); code != 0 {
		t.Errorf("with the rate: exit code %d: %s", code, r.out.String())
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("1 MiB took %v at 512 KiB in a second", took)
	}
}

// TestMistakes gives limits and actions that can't be: nothing runs without its limits.
func TestMistakes(t *testing.T) {
	needs(t, "cpu")
	for name, args := range map[string][]string{
		"time": {"-cpus", "-1"}, "too little time": {"-cpus", "0.001"}, "processor": {"-cpuset", "4000"}, "pids": {"-pids", "-2"},
		"rate": {"-write-bps", "fast"}, "action": {"-do", "dance"}, "no such cgroup": {"-do", "freeze", "-name", "none"},
		"a path that the kernel refuses": {"-name", strings.Repeat("x", 5000)},
	} {
		if output, code := finish(t, exec.Command(step, append(args, "echo", "ran")...)); code != 1 || output != "" {
			t.Errorf("%s: exit code %d, output %q", name, code, output)
		}
	}
}

// TestDelegated runs the step as an ordinary user in a part of the v2 tree that is his.
func TestDelegated(t *testing.T) {
	as := delegated(t, "pids", "cpu")
	r := begin(t, as(exec.Command(step, "-pids", "6", "cat")), "cat", false)
	if got := r.file(t, "pids", "pids.max", "pids.max"); got != "6" {
		t.Errorf("pids.max is %s", got)
	}
	if _, code := finish(t, as(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if code := r.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
