// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// inside starts a process in the group, and ends it with the test.
func inside(t *testing.T, g Group, script string) {
	t.Helper()
	command := exec.Command("sh", "-c", "read go; "+script)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Kill(-command.Process.Pid, unix.SIGKILL)
		command.Wait()
	})
	put(t, g, command.Process.Pid)
	if _, err := input.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
}

// TestUpdate changes the limits of a running group up, down and away: each step needs an order of its own.
func TestUpdate(t *testing.T) {
	g := newGroup(t)
	memory, cpu := part(t, g, "memory"), part(t, g, "cpu")
	inside(t, g, "exec sleep 1000")
	for _, step := range []struct {
		memory, swap, quota   int64
		period, shares, burst uint64
		v1, v2                files
	}{
		{
			1 << 26, 1 << 26, 50_000, 100_000, 1024, 10_000,
			files{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "10000", "cpu.shares": "1024"},
			files{"memory.max": "67108864", "memory.swap.max": "0", "cpu.max": "50000 100000", "cpu.max.burst": "10000", "cpu.weight": "100"},
		},
		{
			1 << 27, 1 << 28, 800_000, 1_000_000, 2, 700_000,
			files{"memory.limit_in_bytes": "134217728", "memory.memsw.limit_in_bytes": "268435456", "cpu.cfs_quota_us": "800000", "cpu.cfs_period_us": "1000000", "cpu.cfs_burst_us": "700000", "cpu.shares": "2"},
			files{"memory.max": "134217728", "memory.swap.max": "134217728", "cpu.max": "800000 1000000", "cpu.max.burst": "700000", "cpu.weight": "1"},
		},
		{
			1 << 25, 1<<25 + 4096, 5_000, 10_000, 2048, 1_000,
			files{"memory.limit_in_bytes": "33554432", "memory.memsw.limit_in_bytes": "33558528", "cpu.cfs_quota_us": "5000", "cpu.cfs_period_us": "10000", "cpu.cfs_burst_us": "1000", "cpu.shares": "2048"},
			files{"memory.max": "33554432", "memory.swap.max": "4096", "cpu.max": "5000 10000", "cpu.max.burst": "1000", "cpu.weight": "174"},
		},
		{
			-1, 0, -1, 0, 0, 0,
			files{"memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "10000", "cpu.cfs_burst_us": "0", "cpu.shares": "2048"},
			files{"memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 10000", "cpu.max.burst": "0", "cpu.weight": "174"},
		},
	} {
		err := g.Update(&specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &step.memory, Swap: &step.swap, CheckBeforeUpdate: new(true)},
			CPU:    &specs.LinuxCPU{Quota: &step.quota, Period: &step.period, Shares: &step.shares, Burst: &step.burst},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []Folder{memory, cpu} {
			want := files{}
			for name, value := range map[int]files{1: step.v1, 2: step.v2}[f.Version] {
				if own, ok := g.Folder(name[:strings.Index(name, ".")]); ok && own.Path == f.Path {
					want[name] = value
				}
			}
			want.compare(t, f)
		}
	}
}

// TestUpdateInUse refuses a limit below what the processes use, before the kernel could kill them for it.
func TestUpdateInUse(t *testing.T) {
	g := newGroup(t)
	f := part(t, g, "memory")
	usage, file := "memory.usage_in_bytes", "memory.limit_in_bytes"
	if f.Version == 2 {
		usage, file = "memory.current", "memory.max"
	}
	inside(t, g, "(head -c 4194304 /dev/zero; sleep 1000) | tail") // tail keeps what may be its last line
	witness.Until(t, "the group uses 4 MiB", func() bool {
		n, err := strconv.Atoi(read(t, f.File(usage)))
		return err == nil && n >= 1<<22
	})
	limit := specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(1 << 26)), CheckBeforeUpdate: new(true)}}
	if err := g.Update(&limit); err != nil {
		t.Fatal(err)
	}
	limit.Memory.Limit = new(int64(1 << 21))
	if err := g.Update(&limit); err == nil || !strings.Contains(err.Error(), "2097152 for "+f.File(file)+": the container uses ") {
		t.Errorf("got %v", err)
	}
	files{file: "67108864"}.compare(t, f)
}

// TestUpdateFails asks for something that the kernel refuses, after much that it does not: the error names file and
// value, and the group is as before.
func TestUpdateFails(t *testing.T) {
	disk, device := anyDisk(t)
	none := specs.LinuxBlockIODevice{Major: 4095, Minor: 77}
	throttle := func(b *specs.LinuxBlockIO, d specs.LinuxBlockIODevice) {
		b.ThrottleReadBpsDevice = append(b.ThrottleReadBpsDevice, specs.LinuxThrottleDevice{LinuxBlockIODevice: d, Rate: 5000})
	}
	for name, c := range map[string]struct {
		needs  string
		spoil  func(*specs.LinuxResources)
		v1, v2 string // the end of the message, where its version can be asked for it
	}{
		"a disk that is not there": {
			"io", func(r *specs.LinuxResources) { throttle(r.BlockIO, none) },
			`write "4095:77 5000" to TOPblkio.throttle.read_bps_device: no such device`, `write "4095:77 rbps=5000" to TOPio.max: no such device`,
		},
		"processors that are not there": {
			"cpuset", func(r *specs.LinuxResources) { r.CPU.Cpus = "0,4095" },
			`write "0,4095" to TOPcpuset.cpus: ABOVEcpuset.effective_cpus says that there are only `,
			`write "0,4095" to TOPcpuset.cpus: ABOVEcpuset.cpus.effective says that there are only `,
		},
		"memory that is not there": {
			"cpuset", func(r *specs.LinuxResources) { r.CPU.Mems = "63" },
			`write "63" to TOPcpuset.mems: ABOVEcpuset.effective_mems says that there are only `,
			`write "63" to TOPcpuset.mems: ABOVEcpuset.mems.effective says that there are only `,
		},
		"a quota beyond numbers": {
			"cpu", func(r *specs.LinuxResources) { r.CPU.Quota = new(int64(1 << 62)) },
			`write "4611686018427387904" to TOPcpu.cfs_quota_us: invalid argument`, `write "4611686018427387904 20000" to TOPcpu.max: invalid argument`,
		},
		"leaf weights": {
			"io", func(r *specs.LinuxResources) { r.BlockIO.LeafWeight = new(uint16(10)) },
			`write "10" to TOPblkio.leaf_weight: no such file or directory: ` + noLeaves, "",
		},
		"a disk without weights": {"io", func(r *specs.LinuxResources) {
			r.BlockIO.WeightDevice = []specs.LinuxWeightDevice{{LinuxBlockIODevice: disk, Weight: new(uint16(20))}}
		}, `write "` + device + ` 20" to TOPblkio.weight_device, or else write "` + device + ` 20" to TOPblkio.bfq.weight_device: operation not supported: ` + noWeights, ""},
		"pages of no size": {"hugetlb", func(r *specs.LinuxResources) {
			r.HugepageLimits = []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}
		}, "", `write "1" to TOPhugetlb.3MB.rsvd.max, or else write "1" to TOPhugetlb.3MB.max: no such file or directory: the processor has no pages of this size`},
		"an unknown file": {
			"memory", func(r *specs.LinuxResources) { r.Unified = map[string]string{"memory.nonsense": "1"} },
			"", `write "1" to TOPmemory.nonsense: no such file or directory: the kernel has no such file`,
		},
		"an unknown adapter": {
			"rdma", func(r *specs.LinuxResources) {
				r.Rdma = map[string]specs.LinuxRdma{"mlx99": {HcaHandles: new(uint32(1))}}
			},
			"", `write "mlx99 hca_handle=1" to TOPrdma.max: `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			f := part(t, g, c.needs)
			message := map[int]string{1: c.v1, 2: c.v2}[f.Version]
			if message == "" {
				t.Skipf("version %d is not asked for it", f.Version)
			}
			limit(t, g, &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: new(int64(1 << 26)), Swap: new(int64(1 << 26))},
				CPU:    &specs.LinuxCPU{Shares: new(uint64(100)), Quota: new(int64(2000)), Period: new(uint64(4000))},
			})
			inside(t, g, "exec sleep 1000")
			was := settings(t, g)
			r := &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: new(int64(1 << 27)), Swap: new(int64(1 << 28)), Reservation: new(int64(4096))},
				CPU:    &specs.LinuxCPU{Cpus: "0", Mems: "0", Shares: new(uint64(200)), Quota: new(int64(20_000)), Period: new(uint64(20_000)), Burst: new(uint64(1000))},
				Pids:   &specs.LinuxPids{Limit: new(int64(50))}, BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(500))},
			}
			throttle(r.BlockIO, disk)
			c.spoil(r)
			err := g.Update(r)
			message = strings.NewReplacer("TOP", f.Path+"/", "ABOVE", f.Top+"/").Replace(message)
			if err == nil || !strings.HasPrefix(err.Error(), message) || strings.Contains(err.Error(), "put back") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(was, settings(t, g)); diff != "" {
				t.Errorf("the group has changed (the disk is %s): -before +after:\n%s", device, diff)
			}
		})
	}
}

// measured are files that can be written and yet tell what has happened.
var measured = []string{
	"cpuacct.usage", "memory.max_usage_in_bytes", "memory.memsw.max_usage_in_bytes", "memory.kmem.max_usage_in_bytes",
	"memory.kmem.tcp.max_usage_in_bytes", "memory.peak", "memory.swap.peak",
	"cpu.pressure", "io.pressure", "memory.pressure", "irq.pressure",
}

// settings reads all files of the group that hold a setting.
func settings(t *testing.T, g Group) files {
	t.Helper()
	all := files{}
	for _, f := range g.Folders {
		entries, err := os.ReadDir(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			name := entry.Name()
			text, err := os.ReadFile(f.File(name))
			switch {
			case f.Version == 2 && (name == "cpuset.cpus" || name == "cpuset.mems"):
				continue // none can't be written again when there are processes; .effective counts
			case strings.HasPrefix(name, "cpuset.") && strings.HasSuffix(name, ".effective"):
			case info.Mode().Perm() != 0o644 || err != nil || slices.Contains(measured, name):
				continue
			}
			all[f.File(name)] = string(text)
		}
	}
	return all
}
