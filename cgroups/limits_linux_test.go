// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// limit sets the limits of a fresh group, as the host side of a container does.
func limit(t *testing.T, g Group, r *specs.LinuxResources) {
	t.Helper()
	calls, err := g.Limits(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range calls {
		if err := do(call); err != nil {
			t.Fatal(err)
		}
	}
}

// part returns the folder of a controller, and skips the test where the group has it not.
func part(t *testing.T, g Group, controller string) Folder {
	t.Helper()
	f, ok := g.Folder(controller)
	if !ok {
		t.Skipf("no hierarchy has the controller %s", controller)
	}
	if f.Version == 2 && !strings.Contains(" "+read(t, f.File("cgroup.controllers"))+" ", " "+controller+" ") {
		t.Skipf("the top of the v2 tree does not give the controller %s, and that is not for a test to change", controller)
	}
	return f
}

// anyDisk is a disk of this machine, as in "8:0".
func anyDisk(t *testing.T) (specs.LinuxBlockIODevice, string) {
	t.Helper()
	files, err := filepath.Glob("/sys/block/[^lzr]*/dev") // no loop, zram or ram, which have no queue of their own
	if err != nil || len(files) == 0 {
		t.Skip("no disk", err)
	}
	name := read(t, files[0])
	major, minor, _ := strings.Cut(name, ":")
	var d specs.LinuxBlockIODevice
	d.Major, _ = strconv.ParseInt(major, 10, 64)
	d.Minor, _ = strconv.ParseInt(minor, 10, 64)
	return d, name
}

// files is what files are to say, by name.
type files map[string]string

// compare reads the files of a folder.
func (want files) compare(t *testing.T, f Folder) {
	t.Helper()
	got := files{}
	for name := range want {
		got[name] = read(t, f.File(name))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", f.Path, diff)
	}
}

// TestKernelSays sets each limit of a fresh group and reads it in the kernel's own files. A limit that a version does
// not have is refused, see TestRefused.
func TestKernelSays(t *testing.T) {
	disk, device := anyDisk(t)
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: disk, Rate: n}}
	}
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	pids := func(n int64) specs.LinuxResources {
		return specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
	}
	for name, c := range map[string]struct {
		controller string
		resources  specs.LinuxResources
		v1, v2     files
	}{
		"memory": {
			"memory", memory(specs.LinuxMemory{Limit: new(int64(1 << 26)), Swap: new(int64(1<<26 + 1<<20)), Reservation: new(int64(1 << 25))}),
			files{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "68157440", "memory.soft_limit_in_bytes": "33554432"},
			files{"memory.max": "67108864", "memory.swap.max": "1048576", "memory.low": "33554432"},
		},
		"no swap": {
			"memory", memory(specs.LinuxMemory{Limit: new(int64(1 << 26)), Swap: new(int64(1 << 26))}),
			files{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"},
			files{"memory.max": "67108864", "memory.swap.max": "0"},
		},
		"any swap": {
			"memory", memory(specs.LinuxMemory{Limit: new(int64(1 << 26)), Swap: new(int64(-1))}),
			files{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "9223372036854771712"},
			files{"memory.max": "67108864", "memory.swap.max": "max"},
		},
		"swappiness": {
			"memory", memory(specs.LinuxMemory{Swappiness: new(uint64(7)), DisableOOMKiller: new(true)}),
			files{"memory.swappiness": "7", "memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0"},
			nil,
		},
		"shares":     {"cpu", cpu(specs.LinuxCPU{Shares: new(uint64(2048))}), files{"cpu.shares": "2048"}, files{"cpu.weight": "174"}},
		"one share":  {"cpu", cpu(specs.LinuxCPU{Shares: new(uint64(1))}), files{"cpu.shares": "2"}, files{"cpu.weight": "1"}},
		"all shares": {"cpu", cpu(specs.LinuxCPU{Shares: new(uint64(1 << 30))}), files{"cpu.shares": "262144"}, files{"cpu.weight": "10000"}},
		"bandwidth": {
			"cpu", cpu(specs.LinuxCPU{Quota: new(int64(25_000)), Period: new(uint64(50_000)), Burst: new(uint64(5_000))}),
			files{"cpu.cfs_quota_us": "25000", "cpu.cfs_period_us": "50000", "cpu.cfs_burst_us": "5000"},
			files{"cpu.max": "25000 50000", "cpu.max.burst": "5000"},
		},
		"period":    {"cpu", cpu(specs.LinuxCPU{Period: new(uint64(1_000_000))}), files{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "1000000"}, files{"cpu.max": "max 1000000"}},
		"idle":      {"cpu", cpu(specs.LinuxCPU{Shares: new(uint64(500)), Idle: new(int64(1))}), files{"cpu.idle": "1"}, files{"cpu.idle": "1"}},
		"real time": {"cpu", cpu(specs.LinuxCPU{RealtimeRuntime: new(int64(5000)), RealtimePeriod: new(uint64(500_000))}), files{"cpu.rt_runtime_us": "5000", "cpu.rt_period_us": "500000"}, nil},
		"cpuset":    {"cpuset", cpu(specs.LinuxCPU{Cpus: "0", Mems: "0"}), files{"cpuset.cpus": "0", "cpuset.mems": "0"}, files{"cpuset.cpus": "0", "cpuset.cpus.effective": "0", "cpuset.mems": "0"}},
		"pids":      {"pids", pids(100), files{"pids.max": "100"}, files{"pids.max": "100"}},
		"no pids":   {"pids", pids(0), files{"pids.max": "1"}, files{"pids.max": "1"}},
		"any pids":  {"pids", pids(-1), files{"pids.max": "max"}, files{"pids.max": "max"}},
		"most pids": {"pids", pids(mostPids), files{"pids.max": "4194304"}, files{"pids.max": "4194304"}},
		"weight": {
			"io",
			specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(500))}},
			files{"blkio.bfq.weight": "500"},
			files{"io.weight": "default 4950"},
		},
		"throttles": {
			"io", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
				ThrottleReadBpsDevice: rate(1 << 20), ThrottleWriteBpsDevice: rate(1 << 21), ThrottleReadIOPSDevice: rate(30), ThrottleWriteIOPSDevice: rate(40),
			}}, files{
				"blkio.throttle.read_bps_device": device + " 1048576", "blkio.throttle.write_bps_device": device + " 2097152",
				"blkio.throttle.read_iops_device": device + " 30", "blkio.throttle.write_iops_device": device + " 40",
			}, files{"io.max": device + " rbps=1048576 wbps=2097152 riops=30 wiops=40"},
		},
		"huge pages": {
			"hugetlb",
			specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 5 << 20}}},
			files{"hugetlb.2MB.rsvd.limit_in_bytes": "4194304"},
			files{"hugetlb.2MB.rsvd.max": "4194304"},
		},
		"unified": {
			"memory",
			specs.LinuxResources{Unified: map[string]string{"memory.high": "1048576", "io.max": device + " rbps=1024\n" + device + " wiops=7"}},
			nil,
			files{"memory.high": "1048576", "io.max": device + " rbps=1024 wbps=max riops=max wiops=7"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			f := part(t, g, c.controller)
			want := c.v1
			if f.Version == 2 {
				want = c.v2
			}
			if want == nil {
				t.Skipf("version %d of %s does not have it", f.Version, c.controller)
			}
			limit(t, g, &c.resources)
			want.compare(t, f)
			if name == "weight" && f.Version == 2 && exists(f.File("io.bfq.weight")) { // which of the two counts is the disk's matter
				files{"io.bfq.weight": "default 500"}.compare(t, f)
			}
		})
	}
}

// TestDiskWeight sets the weight for one disk, which the kernel takes once the disk's weights are turned on.
func TestDiskWeight(t *testing.T) {
	disk, device := anyDisk(t)
	g := newGroup(t)
	f := part(t, g, "io")
	if f.Version == 1 {
		t.Skip("version 1 has it for disks with the scheduler bfq only")
	}
	was := qosOf(read(t, f.Top+"/io.cost.qos"), device)
	write(t, f.Top+"/io.cost.qos", device+" enable=1")
	t.Cleanup(func() { write(t, f.Top+"/io.cost.qos", was) })
	limit(t, g, &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
		WeightDevice: []specs.LinuxWeightDevice{{LinuxBlockIODevice: disk, Weight: new(uint16(1000))}},
	}})
	files{"io.weight": "default 100\n" + device + " 10000"}.compare(t, f)
}

// TestEitherWorks writes the file that works, where another one is there that does not: cgroup.kill of a threaded group.
func TestEitherWorks(t *testing.T) {
	g, ok := views(newGroup(t))["v2"]
	if !ok {
		witness.Need(t, "cgroup2:freezer")
	}
	threads := nest(t, g, "threads").Folders[0]
	write(t, threads.File("cgroup.type"), "threaded")
	refused := kernel.WriteFile{Path: threads.File("cgroup.kill"), Data: "1"}
	dir := t.TempDir()
	var calls []kernel.Call
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(dir+"/"+name, []byte("old\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		works := kernel.WriteFile{Path: dir + "/" + name, Data: "new\n"}
		calls = append(calls, kernel.Call{Request: either{[]kernel.WriteFile{refused, works}, "?"}})
	}
	if err := apply(calls); err != nil || read(t, dir+"/a") != "new" || read(t, dir+"/b") != "new" {
		t.Errorf("error %v, a is %q, b is %q", err, read(t, dir+"/a"), read(t, dir+"/b"))
	}
	write(t, dir+"/a", "old\n")
	calls[1].Request = either{[]kernel.WriteFile{refused}, "none works"}
	if err := apply(calls); err == nil || !strings.Contains(err.Error(), "operation not supported: none works") || read(t, dir+"/a") != "old" {
		t.Errorf("error %v, a is %q", err, read(t, dir+"/a"))
	}
}

// qosOf returns what to write to io.cost.qos so that it says of a disk what it says now. A line is like
//
//	8:0 enable=1 ctrl=auto rpct=95.00 rlat=75000 wpct=95.00 wlat=150000 min=50.00 max=150.00
//
// in which, with ctrl=auto, the kernel itself has chosen all that follows: whoever writes that has chosen (block/blk-iocost.c).
// A disk without a line is off.
func qosOf(file, device string) string {
	for line := range strings.Lines(file) {
		if strings.HasPrefix(line, device+" ") {
			if before, _, auto := strings.Cut(line, " ctrl=auto"); auto {
				return before + " ctrl=auto"
			}
			return strings.TrimSpace(line)
		}
	}
	return device + " enable=0"
}

// TestQosOf has a disk whose weights the kernel or somebody else has turned on, and disks for which nobody has.
func TestQosOf(t *testing.T) {
	const values = " rpct=95.00 rlat=75000 wpct=95.00 wlat=150000 min=50.00 max=150.00"
	const file = "8:0 enable=1 ctrl=auto" + values + "\n8:16 enable=0 ctrl=user" + values + "\n"
	for device, want := range map[string]string{
		"8:0": "8:0 enable=1 ctrl=auto", "8:16": "8:16 enable=0 ctrl=user" + values, "8:1": "8:1 enable=0", "8:160": "8:160 enable=0",
	} {
		if got := qosOf(file, device); got != want {
			t.Errorf("%s: %q, want %q", device, got, want)
		}
	}
}

// TestNetwork mounts the two controllers of version 1 that no machine of version 2 has mounted, and so has both at once.
func TestNetwork(t *testing.T) {
	witness.Need(t, "root")
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if layout.Kind() != V2 {
		t.Skip("a new hierarchy would be one for the whole machine, and this one has its own of version 1")
	}
	top := t.TempDir()
	if err := unix.Mount("cgroup", top, "cgroup", 0, "net_cls,net_prio"); err != nil {
		t.Skip("the kernel has no net_cls and net_prio, or cgroup_no_v1 took them away:", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(top, 0); err != nil {
			t.Error(err)
		}
	})
	g := newGroup(t)
	limit(t, g, &specs.LinuxResources{
		Network: &specs.LinuxNetwork{ClassID: new(uint32(0x100001)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 7}}},
	})
	f := part(t, g, "net_prio")
	before := read(t, f.File("net_prio.ifpriomap")) // a line for each interface
	if !strings.Contains("\n"+before+"\n", "\nlo 7\n") {
		t.Errorf("the priorities are\n%s", before)
	}
	files{"net_cls.classid": "1048577"}.compare(t, f)
	err = g.Update(&specs.LinuxResources{Network: &specs.LinuxNetwork{
		ClassID: new(uint32(5)), Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 8}, {Name: "none0", Priority: 9}},
	}})
	if err == nil || !strings.Contains(err.Error(), `write "none0 9" to `+f.File("net_prio.ifpriomap")) {
		t.Errorf("got %v", err)
	}
	files{"net_cls.classid": "1048577", "net_prio.ifpriomap": before}.compare(t, f)
}
