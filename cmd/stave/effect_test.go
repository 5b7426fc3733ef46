// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// tries is how often a measurement of time may be repeated: other programs run on the machine.
const tries = 3

// TestMemoryHogIsKilled lets a process of a container use more than its memory. The kernel kills it, and nothing in the
// container beside it.
func TestMemoryHogIsKilled(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	limit := []string{"--memory", "64m", "--memory-swap", "64m", "--rootfs", root}
	neighbour := start(t, staveRun(append(limit, "sh", "-c", "echo ready; exec cat")...))
	const hog = "dd if=/dev/zero of=/dev/null bs=200M count=1"
	l := start(t, staveRun(append(limit, "sh", "-c", "echo ready; read x; "+hog+"; echo code $?; read x; exit 3")...))
	version, group := groupOf(t, l.pid, "memory")
	counter := map[int]string{1: "memory.oom_control", 2: "memory.events"}[version]
	if n := field(t, filepath.Join(group, counter), "oom_kill"); n != 0 {
		t.Errorf("%d processes were killed before the hog ran", n)
	}
	fmt.Fprintln(l.stdin)
	witness.Until(t, "the hog has ended", func() bool { return strings.Contains(l.out.String(), "code ") })
	if !strings.Contains(l.out.String(), "code 137") {
		t.Errorf("the hog was not killed: %s", l.out)
	}
	if n := field(t, filepath.Join(group, counter), "oom_kill"); n != 1 {
		t.Errorf("the kernel counts %d killed processes, want 1", n)
	}
	if got := l.end(); got != 3 || !strings.Contains(l.errs.String(), "memory limit") || !strings.Contains(l.errs.String(), "killed 1 ") {
		t.Errorf("exit code %d, want the shell's own 3 and a notice of one killed process: %s", got, l.errs)
	}
	alone := run(t, staveRun(append(limit, strings.Fields(hog)...)...))
	if alone.code != 137 || !strings.HasPrefix(alone.err, "stave: ") || !strings.Contains(alone.err, "memory limit") {
		t.Errorf("exit code %d, want 137 and a notice: %s", alone.code, alone.err)
	}
	if _, err := neighbour.stdin.Write([]byte("alive\n")); err != nil {
		t.Error(err)
	}
	witness.Until(t, "the neighbour answers", func() bool { return strings.Contains(neighbour.out.String(), "alive") })
	if got := neighbour.end(); got != 0 || neighbour.errs.String() != "" {
		t.Errorf("the neighbour's exit code is %d, and stave says %s", got, neighbour.errs)
	}
}

// cpuTime is the processor time that a group has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	version, group := groupOf(t, pid, "cpuacct")
	if version == 2 {
		return time.Duration(field(t, filepath.Join(group, "cpu.stat"), "usage_usec")) * time.Microsecond
	}
	n, err := strconv.ParseInt(contents(t, filepath.Join(group, "cpuacct.usage")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(n)
}

// cpuTimes is the processor time that two groups have used by the same moment: the first one is read before and after the
// other.
func cpuTimes(t *testing.T, one, other int) (time.Duration, time.Duration) {
	t.Helper()
	before, b := cpuTime(t, one), cpuTime(t, other)
	return (before + cpuTime(t, one)) / 2, b
}

// spin is a script that uses one processor as much as it gets.
const spin = "echo ready; while :; do :; done"

// TestSharesDivideAProcessor runs two hogs on one processor, one with twice the share of the other.
func TestSharesDivideAProcessor(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	name := parent(t)
	// The weights of version 2 are not in proportion to the shares (2450 shares are twice the weight of 1024).
	shares := map[int]string{1: "2048", 2: "2450"}
	version, _ := hierarchy(t, "cpu")
	pinned := []string{"--cgroup-parent", name, "--cpuset-cpus", "0", "--rootfs", root}
	large := start(t, staveRun(append([]string{"--cpu-shares", shares[version]}, append(pinned, "sh", "-c", spin)...)...))
	small := start(t, staveRun(append([]string{"--cpu-shares", "1024"}, append(pinned, "sh", "-c", spin)...)...))
	want := 2.0
	if version == 2 {
		_, group := groupOf(t, large.pid, "cpu")
		_, other := groupOf(t, small.pid, "cpu")
		a, _ := strconv.ParseFloat(contents(t, filepath.Join(group, "cpu.weight")), 64)
		b, _ := strconv.ParseFloat(contents(t, filepath.Join(other, "cpu.weight")), 64)
		if want = a / b; math.Abs(want-2) > 0.05 {
			t.Errorf("the weights are %v and %v", a, b)
		}
	}
	for n := 1; ; n++ {
		a, b := cpuTimes(t, large.pid, small.pid)
		var c, d time.Duration
		witness.Until(t, "both together have used two seconds", func() bool {
			c, d = cpuTimes(t, large.pid, small.pid)
			c, d = c-a, d-b
			return c+d > 2*time.Second
		})
		ratio := float64(c) / float64(d)
		t.Logf("processor time %v and %v: ratio %.3f", c, d, ratio)
		if math.Abs(ratio-want) <= 0.15*want {
			break
		}
		if n == tries {
			t.Fatalf("the ratio is %.3f, want %.2f within 15 %%", ratio, want)
		}
	}
	large.kill()
	small.kill()
	if a, b := large.end(), small.end(); a != 137 || b != 137 {
		t.Errorf("exit codes %d and %d, want 137", a, b)
	}
}

// TestHalfAProcessor lets two hogs of one container have half a processor together.
func TestHalfAProcessor(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	// The large share keeps other programs of the machine from holding the container back.
	l := start(t, staveRun("--cpus", "0.5", "--cpu-shares", "262144", "--rootfs", root, "sh", "-c", "(while :; do :; done) & "+spin))
	_, group := groupOf(t, l.pid, "cpu")
	file := filepath.Join(group, "cpu.stat")
	for n := 1; ; n++ {
		periods, used := field(t, file, "nr_periods"), cpuTime(t, l.pid)
		throttled := field(t, file, "nr_throttled")
		var passed uint64
		witness.Until(t, "twenty periods have passed", func() bool {
			passed = field(t, file, "nr_periods") - periods
			return passed >= 20
		})
		got := float64(cpuTime(t, l.pid)-used) / float64(time.Duration(passed)*100*time.Millisecond)
		t.Logf("%.3f processors in %d periods", got, passed)
		if math.Abs(got-0.5) <= 0.05 && field(t, file, "nr_throttled") > throttled {
			break
		}
		if n == tries {
			t.Fatalf("the container used %.3f processors, want 0.5 within 10 %%; it was held back in %d periods", got, field(t, file, "nr_throttled")-throttled)
		}
	}
	l.kill()
	if got := l.end(); got != 137 {
		t.Errorf("exit code %d, want 137", got)
	}
}

// TestForkBombStops sets off a fork bomb, counts, and kills the container.
func TestForkBombStops(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	const most = 25
	// A shell ends when it can't fork: the trap of each begins again. Process 1 is no shell.
	put(t, filepath.Join(root, "bomb"), "trap 'exec sh /bomb' EXIT\nwhile :; do sh /bomb & done\n", 0o755)
	l := start(t, staveRun("--pids-limit", strconv.Itoa(most), "--rootfs", root, "sh", "-c", "sh /bomb 2>/dev/null & echo ready; exec cat"))
	_, group := groupOf(t, l.pid, "pids")
	peak := 0
	witness.Until(t, "the limit has stopped fifty forks", func() bool {
		n, err := strconv.Atoi(contents(t, filepath.Join(group, "pids.current")))
		if err != nil {
			t.Fatal(err)
		}
		peak = max(peak, n)
		return field(t, filepath.Join(group, "pids.events"), "max") >= 50
	})
	if peak > most || peak < most/2 {
		t.Errorf("there were %d processes at once, with a limit of %d", peak, most)
	}
	l.kill()
	if got := l.end(); got != 137 {
		t.Errorf("exit code %d, want 137: %s", got, l.errs)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", group, err)
	}
}

// TestDeviceAccess opens a device that the host has and the container may use in part. Where the kernel has no such device
// (/dev/fuse is in a module) the open fails with another error than the cgroup's EPERM.
func TestDeviceAccess(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	const number = "10:229"
	node := deviceNode(t, unix.S_IFCHR, number)
	if err := unix.Mknod(filepath.Join(root, "node"), unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
		t.Fatal(err)
	}
	const script = `try() { (eval ": $1") 2>&1 | grep -q "not permitted" && echo -n "$2 " || echo -n "$3 "; }
for n in $NODES; do try "<$n" - r; try ">>$n" - w; done; rm -f /new; mknod /new c 10 229 2>/dev/null && echo -n m`
	for name, it := range map[string]struct {
		options []string
		nodes   string
		want    string
	}{
		"none":              {nil, "/node", "- - m"},
		"all":               {[]string{"--device", node}, "/node " + node, "r w r w m"},
		"under its name":    {[]string{"--device", node + ":/dev/mine"}, "/dev/mine", "r w m"},
		"read":              {[]string{"--device", node + ":/dev/mine:r"}, "/dev/mine /node", "r - r - m"},
		"write":             {[]string{"--device", node + ":w"}, node, "- w m"},
		"make":              {[]string{"--device", node + ":m"}, node, "- - m"},
		"make is forbidden": {[]string{"--cap-drop", "MKNOD", "--device", node + ":r"}, node, "r - "},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--rootfs", root, "-e", "NODES=" + it.nodes}, it.options...)
			if got := run(t, staveRun(append(args, "sh", "-c", script)...)); got.out != it.want {
				t.Errorf("may %q, want %q: %s", got.out, it.want, got.err)
			}
		})
	}
	got := run(t, staveRun("--rootfs", root, "--device", "/dev/null:/dev/mynull:rw", "sh", "-c", "echo x >/dev/mynull && cat /dev/mynull && echo works"))
	if got.out != "works\n" {
		t.Errorf("another null device: %q, %s", got.out, got.err)
	}
}

// TestThrottledWriteKeepsItsRate writes a file past the page cache, with and without a limit for the file's disk.
func TestThrottledWriteKeepsItsRate(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := folder(t)
	root := filepath.Join(dir, "rootfs")
	makeRoot(t, root)
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if _, err := os.Stat("/sys/dev/block/" + number + "/queue"); err != nil {
		t.Skipf("%s is on no whole disk: %v", dir, err)
	}
	node := deviceNode(t, unix.S_IFBLK, number)
	const size, rate = 2 << 20, 1 << 20 // bytes, and bytes a second
	write := func(options ...string) (float64, error) {
		args := append(options, "--rootfs", root, "-v", dir+":/host", "sh", "-c",
			"read a x </proc/uptime; dd if=/dev/zero of=/host/file bs=64k count=32 oflag=direct 2>/dev/null || exit 1; read b x </proc/uptime; echo $a $b")
		got := run(t, staveRun(args...))
		var from, to float64
		if _, err := fmt.Sscan(got.out, &from, &to); err != nil || got.code != 0 {
			return 0, fmt.Errorf("%q, exit code %d, %s", got.out, got.code, got.err)
		}
		return size / max(to-from, 0.01), nil
	}
	free, err := write()
	if err != nil {
		t.Skipf("this file system has no direct writes: %v", err)
	}
	if free < 2*rate {
		t.Skipf("the disk is too slow to be held back: %.0f bytes a second", free)
	}
	for n := 1; ; n++ {
		limited, err := write("--device-write-bps", node+":"+strconv.Itoa(rate))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.0f bytes a second, and %.0f with a limit of %d", free, limited, rate)
		if limited <= 1.15*rate { // the first piece is not held back
			break
		}
		if n == tries {
			t.Fatalf("%.0f bytes a second, with a limit of %d", limited, rate)
		}
	}
}
