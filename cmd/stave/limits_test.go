// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// set is what a kernel's file has to hold: v1 and v2 give the file's name and its text, separated by a blank. The text
// is a whole line of the file. A version without the file has the words of the refusal instead, after "refused".
type set struct{ v1, v2 string }

// TestLimitOptions runs a container for each option, and reads the values back from the kernel while it lives.
func TestLimitOptions(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	disk, number := wholeDisk(t)
	for name, it := range limitOptions(disk, number) {
		t.Run(name, func(t *testing.T) {
			for _, want := range it.want {
				version, _ := hierarchy(t, controllerOf(want))
				if refusal, ok := strings.CutPrefix(map[int]string{1: want.v1, 2: want.v2}[version], "refused "); ok {
					checkMistake(t, run(t, staveRun(slices.Concat(it.options, []string{"--rootfs", root, "echo", "runs"})...)), refusal)
					return
				}
			}
			l := start(t, staveRun(slices.Concat(it.options, []string{"--rootfs", root, "sh", "-c", "echo ready; exec cat"})...))
			for _, want := range it.want {
				checkSet(t, l.pid, want)
			}
			if got := l.end(); got != 0 {
				t.Errorf("exit code %d: %s", got, l.errs)
			}
		})
	}
}

// option is one option, or several that belong together.
type option struct {
	options []string
	want    []set
}

// limitOptions are the options that limit, and what they write. The disk is a file of a device, the number its numbers.
func limitOptions(disk, number string) map[string]option {
	return map[string]option{
		"memory": {[]string{"--memory", "64m"}, []set{
			{"memory.limit_in_bytes 67108864", "memory.max 67108864"},
			{"memory.memsw.limit_in_bytes 134217728", "memory.swap.max 67108864"},
		}},
		"memory-swap": {[]string{"-m", "64MiB", "--memory-swap", "98304k"}, []set{{"memory.memsw.limit_in_bytes 100663296", "memory.swap.max 33554432"}}},
		"memory-swap none": {[]string{"-m", "67108864", "--memory-swap", "64m"}, []set{
			{"memory.memsw.limit_in_bytes 67108864", "memory.swap.max 0"},
		}},
		"memory-swap any": {[]string{"-m", "0.5g", "--memory-swap", "-1"}, []set{
			{"memory.limit_in_bytes 536870912", "memory.max 536870912"},
			{"memory.memsw.limit_in_bytes 9223372036854771712", "memory.swap.max max"},
		}},
		"memory-reservation": {[]string{"--memory-reservation", "32m"}, []set{{"memory.soft_limit_in_bytes 33554432", "memory.low 33554432"}}},
		"memory-swappiness":  {[]string{"--memory-swappiness", "7"}, []set{{"memory.swappiness 7", "refused memory.swappiness: 7"}}},
		"oom-kill-disable":   {[]string{"-m", "64m", "--oom-kill-disable"}, []set{{"memory.oom_control oom_kill_disable 1", "refused memory.disableOOMKiller: true"}}},
		"oom-score-adj":      {[]string{"--oom-score-adj", "500"}, []set{{"/proc 500", "/proc 500"}}},
		"cpus": {[]string{"--cpus", "0.5"}, []set{
			{"cpu.cfs_quota_us 50000", "cpu.max 50000 100000"}, {"cpu.cfs_period_us 100000", "cpu.max 50000 100000"},
		}},
		"cpu-shares": {[]string{"--cpu-shares", "512"}, []set{{"cpu.shares 512", "cpu.weight 59"}}},
		"cpu-quota and cpu-period": {[]string{"--cpu-quota", "25000", "--cpu-period", "50000"}, []set{
			{"cpu.cfs_quota_us 25000", "cpu.max 25000 50000"}, {"cpu.cfs_period_us 50000", "cpu.max 25000 50000"},
		}},
		"cpu-period":    {[]string{"--cpu-period", "50000"}, []set{{"cpu.cfs_period_us 50000", "cpu.max max 50000"}}},
		"cpuset-cpus":   {[]string{"--cpuset-cpus", "0"}, []set{{"cpuset.cpus 0", "cpuset.cpus 0"}}},
		"cpuset-mems":   {[]string{"--cpuset-mems", "0"}, []set{{"cpuset.mems 0", "cpuset.mems 0"}}},
		"pids-limit":    {[]string{"--pids-limit", "33"}, []set{{"pids.max 33", "pids.max 33"}}},
		"no pids-limit": {[]string{"--pids-limit", "-1"}, []set{{"pids.max max", "pids.max max"}}},
		"device-read-bps": {[]string{"--device-read-bps", disk + ":1m"}, []set{
			{"blkio.throttle.read_bps_device " + number + " 1048576", "io.max " + number + " rbps=1048576 wbps=max riops=max wiops=max"},
		}},
		"device-write-bps": {[]string{"--device-write-bps", disk + ":512k"}, []set{
			{"blkio.throttle.write_bps_device " + number + " 524288", "io.max " + number + " rbps=max wbps=524288 riops=max wiops=max"},
		}},
	}
}

// controllerOf is the controller that a limit's file belongs to, by its v2 name.
func controllerOf(s set) string {
	name, _, _ := strings.Cut(s.v1, ".")
	if name == "blkio" {
		return "io"
	}
	return name
}

// checkSet looks into one file of a process's cgroup.
func checkSet(t *testing.T, pid int, want set) {
	t.Helper()
	if value, ok := strings.CutPrefix(want.v1, "/proc "); ok {
		if got := contents(t, fmt.Sprintf("/proc/%d/oom_score_adj", pid)); got != value {
			t.Errorf("oom_score_adj is %s, want %s", got, value)
		}
		return
	}
	version, group := groupOf(t, pid, controllerOf(want))
	name, value, _ := strings.Cut(map[int]string{1: want.v1, 2: want.v2}[version], " ")
	got := contents(t, filepath.Join(group, name))
	if !slices.Contains(strings.Split(got, "\n"), value) {
		t.Errorf("%s/%s holds %q, want the line %q", group, name, got, value)
	}
}

// checkMistake wants one line of stave's that says something, and a command that did not run.
func checkMistake(t *testing.T, got result, say ...string) {
	t.Helper()
	if got.code != 125 || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.HasPrefix(got.err, "stave: ") {
		t.Errorf("exit code %d, %q, %q; want 125 and one line", got.code, got.out, got.err)
	}
	for _, part := range say {
		if !strings.Contains(got.err, part) {
			t.Errorf("it does not say %q: %s", part, got.err)
		}
	}
}

// wholeDisk makes a node for a disk of the machine, and returns it with its numbers. Only its limit is set.
func wholeDisk(t *testing.T) (node, number string) {
	t.Helper()
	disks, _ := filepath.Glob("/sys/block/[^lzr]*/dev") // no loop, zram or ram, which have no queue of their own
	if len(disks) == 0 {
		t.Skip("this machine has no disk")
	}
	number = contents(t, disks[0])
	return deviceNode(t, unix.S_IFBLK, number), number
}

// deviceNode makes a node of a device by its numbers, "major:minor".
func deviceNode(t *testing.T, kind uint32, number string) string {
	t.Helper()
	var major, minor uint32
	if _, err := fmt.Sscanf(number, "%d:%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(folder(t), "node")
	if err := unix.Mknod(node, kind|0o666, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		t.Fatal(err)
	}
	return node
}

// TestBlkioWeight sets a weight where a scheduler of disks takes it, and wants a refusal where none does.
func TestBlkioWeight(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	version, mount := hierarchy(t, "io")
	probe := filepath.Join(mount, fmt.Sprintf("stave-test-%d-weight", os.Getpid()))
	if err := os.Mkdir(probe, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(probe)
	args := []string{"--blkio-weight", "300", "--rootfs", root, "sh", "-c", "echo ready; exec cat"}
	// Where there are two, the scheduler's own is the one that counts.
	for _, file := range [][2]string{
		{"blkio.weight", "300"}, {"blkio.bfq.weight", "300"}, {"io.bfq.weight", "300"}, {"io.weight", "default 2930"},
	} {
		name, want := file[0], file[1]
		if _, err := os.Stat(filepath.Join(probe, name)); err != nil {
			continue
		}
		l := start(t, staveRun(args...))
		_, group := groupOf(t, l.pid, "io")
		if got := contents(t, filepath.Join(group, name)); got != want && got != "default "+want {
			t.Errorf("%s/%s holds %q, want %s", group, name, got, want)
		}
		if got := l.end(); got != 0 {
			t.Errorf("exit code %d: %s", got, l.errs)
		}
		return
	}
	checkMistake(t, run(t, staveRun(args...)), "weight", map[int]string{1: "blkio", 2: "io"}[version])
}

// TestCgroupParent puts a container's cgroup below one that is named, which is there already or not.
func TestCgroupParent(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	name := parent(t)
	l := start(t, staveRun("--cgroup-parent", name, "--rootfs", root, "sh", "-c", "echo ready; exec cat"))
	below := groupsLeft(t, name+"/")
	for _, controller := range []string{"memory", "pids", "cpu", "devices"} {
		if _, group := groupOf(t, l.pid, controller); !slices.Contains(below, group) {
			t.Errorf("%s is not one of %q", group, below)
		}
	}
	second := run(t, staveRun("--cgroup-parent", name+"/", "--rootfs", root, "true"))
	if left := groupsLeft(t, name+"/"); second.code != 0 || !slices.Equal(left, below) {
		t.Errorf("a second container in the same parent: exit code %d, %s; groups %q, want %q", second.code, second.err, left, below)
	}
	if got := l.end(); got != 0 {
		t.Errorf("exit code %d: %s", got, l.errs)
	}
}

// TestLimitMistakes asks for limits that can't be: each is told in one line, nothing runs, and no cgroup is left.
func TestLimitMistakes(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root := folder(t)
	makeRoot(t, root)
	for say, options := range map[string]string{
		`--memory "-5m"`:                          "--memory=-5m",
		`--memory "lots"`:                         "--memory lots",
		`--memory "0"`:                            "--memory 0",
		`--memory "99999999999999999999g"`:        "--memory 99999999999999999999g",
		`memory.swap: 33554432`:                   "--memory 64m --memory-swap 32m",
		`--memory-swap is memory and swap`:        "--memory-swap 64m",
		`--memory-reservation "-1"`:               "--memory-reservation=-1",
		`memory.swappiness: 101`:                  "--memory-swappiness 101",
		`without --memory`:                        "--oom-kill-disable",
		`process.oomScoreAdj: oom_score_adj 1001`: "--oom-score-adj 1001",
		`--cpus 0:`:                               "--cpus 0",
		`--cpus -1:`:                              "--cpus=-1",
		`--cpus 1e+09:`:                           "--cpus 1e9",
		`--cpus is another way`:                   "--cpus 1 --cpu-quota 5000",
		`cpu.quota: 10`:                           "--cpu-quota 10",
		`cpu.period: 7`:                           "--cpu-period 7",
		`cpu.period: 2000000`:                     "--cpu-period 2000000",
		`"4000"`:                                  "--cpuset-cpus 4000",
		`"0-"`:                                    "--cpuset-cpus 0-",
		`"900"`:                                   "--cpuset-mems 900",
		`--pids-limit -2`:                         "--pids-limit=-2",
		`pids.limit: 99999999999`:                 "--pids-limit 99999999999",
		`blockIO.weight: 5`:                       "--blkio-weight 5",
		`blockIO.weight: 1001`:                    "--blkio-weight 1001",
		`--blkio-weight 70000`:                    "--blkio-weight 70000",
		`/missing`:                                "--device-read-bps /missing:1m",
		`/dev/null is not a block device`:         "--device-write-bps /dev/null:1m",
		`"many" is not a number`:                  "--device-write-bps /dev/null:many",
		`/dev/nothing`:                            "--device /dev/nothing",
		`/etc/passwd is not a device`:             "--device /etc/passwd",
		`--device "/dev/null:rwx"`:                "--device /dev/null:rwx",
		`--device "null"`:                         "--device null",
		`climbs out`:                              "--cgroup-parent ../..",
		`"/../x/`:                                 "--cgroup-parent /../x",
	} {
		got := run(t, staveRun(slices.Concat(strings.Fields(options), []string{"--rootfs", root, "echo", "runs"})...))
		t.Run(options, func(t *testing.T) { checkMistake(t, got, say) })
	}
	for _, dir := range groupsLeft(t, "/stave-") {
		if filepath.Base(withoutID("/"+filepath.Base(dir))) == "stave-ID" {
			t.Errorf("a cgroup that nobody removed: %s", dir)
		}
	}
}

// TestLimitsOfAnOrdinaryUser asks for limits as a user to whom no cgroup is delegated.
func TestLimitsOfAnOrdinaryUser(t *testing.T) {
	witness.Need(t, "root", "userns")
	home := folder(t)
	give(t, home, nobody)
	for name, it := range map[string]struct{ options, say string }{
		"memory":    {"--memory 64m", "delegated"},
		"processes": {"--pids-limit 10", "delegated"},
		"parent":    {"--memory 64m --cgroup-parent /stave-test-other", "delegated"},
		"no limits": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := as(nobody, staveRun(append(strings.Fields(it.options), "lab", "echo", "runs")...))
			c.Env = []string{"HOME=" + home}
			got := run(t, c)
			if it.say != "" {
				checkMistake(t, got, "user 65534", it.say)
			} else if got.code != 0 || got.out != "runs\n" {
				t.Errorf("exit code %d, %q, %s", got.code, got.out, got.err)
			}
		})
	}
}

// TestExplainBothVersions explains a limited container for either kind of machine, whatever this one is.
func TestExplainBothVersions(t *testing.T) {
	args := []string{"-m", "64m", "--pids-limit", "33", "--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "0", "lab", "true"}
	for kind, want := range map[string][]string{
		"v1": {
			`"67108864" to /sys/fs/cgroup/memory/stave-ID/memory.limit_in_bytes`, `"33" to /sys/fs/cgroup/pids/stave-ID/pids.max`,
			`"50000" to /sys/fs/cgroup/cpu,cpuacct/stave-ID/cpu.cfs_quota_us`, `"512" to /sys/fs/cgroup/cpu,cpuacct/stave-ID/cpu.shares`,
			`"0" to /sys/fs/cgroup/cpuset/stave-ID/cpuset.cpus`, `"0" to /sys/fs/cgroup/memory/stave-ID/tasks`,
			`to /sys/fs/cgroup/devices/stave-ID/devices.allow`,
		},
		"v2": {
			`"67108864" to /sys/fs/cgroup/stave-ID/memory.max`, `"33" to /sys/fs/cgroup/stave-ID/pids.max`,
			`"50000 100000" to /sys/fs/cgroup/stave-ID/cpu.max`, `"59" to /sys/fs/cgroup/stave-ID/cpu.weight`,
			`"0" to /sys/fs/cgroup/stave-ID/cpuset.cpus`, "born in the cgroup",
		},
	} {
		var calls strings.Builder
		for _, l := range explained(t, append([]string{"--cgroup", kind}, args...)...) {
			calls.WriteString(withoutID(l.Call) + "\n")
		}
		for _, part := range want {
			if !strings.Contains(calls.String(), part) {
				t.Errorf("explain --cgroup %s does not say %s:\n%s", kind, part, calls.String())
			}
		}
	}
	got := run(t, staveExplain("--cgroup", "v3", "lab", "true"))
	checkMistake(t, got, `--cgroup "v3": v1 or v2`)
}
