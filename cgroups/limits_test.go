// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// sampleGroup is the group /c of a sample layout; "mixed" has the controllers of this kind in version 1 but hugetlb.
func sampleGroup(t *testing.T, kind string) Group {
	t.Helper()
	layout := Sample(kind)
	if kind == Mixed {
		layout = Sample(V1)
		layout.Hierarchies = append(layout.Hierarchies[:8:8], layout.Hierarchies[9:]...)
		layout.Hierarchies = append(layout.Hierarchies, Hierarchy{
			Version: 2, Controllers: []string{"hugetlb"}, Mount: "/sys/fs/cgroup/unified", Own: "/",
		})
	}
	g, err := layout.Group("/c", "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// lines shows what calls do, without the long part of their paths.
func lines(calls []kernel.Call) string {
	var all []string
	for _, c := range calls {
		all = append(all, strings.ReplaceAll(c.String(), "/sys/fs/cgroup/", ""))
	}
	return strings.Join(all, "\n")
}

// everything sets each limit that both versions have, and hugetlb.
func everything() *specs.LinuxResources {
	device := specs.LinuxBlockIODevice{Major: 8, Minor: 16}
	rate := func(n uint64) []specs.LinuxThrottleDevice {
		return []specs.LinuxThrottleDevice{{LinuxBlockIODevice: device, Rate: n}}
	}
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{
			//lint:ignore SA1019 it is deprecated, and refused unless it is -1
			Limit: new(int64(1 << 26)), Swap: new(int64(1<<26 + 4096)), Reservation: new(int64(1 << 25)), Kernel: new(int64(-1)),
			KernelTCP: new(int64(-1)), UseHierarchy: new(true), DisableOOMKiller: new(false), CheckBeforeUpdate: new(true),
		},
		CPU: &specs.LinuxCPU{
			Shares: new(uint64(2048)), Quota: new(int64(50_000)), Period: new(uint64(200_000)), Burst: new(uint64(10_000)),
			Idle: new(int64(1)), Cpus: "0-1", Mems: "0",
		},
		Pids: &specs.LinuxPids{Limit: new(int64(100))},
		BlockIO: &specs.LinuxBlockIO{
			Weight:                new(uint16(500)),
			WeightDevice:          []specs.LinuxWeightDevice{{LinuxBlockIODevice: device, Weight: new(uint16(10))}},
			ThrottleReadBpsDevice: rate(1000), ThrottleWriteBpsDevice: rate(2000),
			ThrottleReadIOPSDevice: rate(30), ThrottleWriteIOPSDevice: rate(0),
		},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1 << 22}},
		Rdma:           map[string]specs.LinuxRdma{"mlx5": {HcaHandles: new(uint32(3)), HcaObjects: new(uint32(4))}, "a": {HcaObjects: new(uint32(1))}},
	}
}

// TestLimits compares the whole plan of each layout.
func TestLimits(t *testing.T) {
	v1Only := func(r *specs.LinuxResources) {
		r.Memory.Swappiness = new(uint64(0))
		r.Memory.DisableOOMKiller = new(true)
		r.CPU.RealtimeRuntime, r.CPU.RealtimePeriod = new(int64(5000)), new(uint64(500_000))
		r.BlockIO.LeafWeight = new(uint16(20))
		r.Network = &specs.LinuxNetwork{ClassID: new(uint32(1048577)), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 5}}}
	}
	v1 := `write "0-1" to cpuset/c/cpuset.cpus
write "0" to cpuset/c/cpuset.mems
write "2048" to cpu,cpuacct/c/cpu.shares
write "1" to cpu,cpuacct/c/cpu.idle
write "200000" to cpu,cpuacct/c/cpu.cfs_period_us
write "50000" to cpu,cpuacct/c/cpu.cfs_quota_us
write "10000" to cpu,cpuacct/c/cpu.cfs_burst_us
write "5000" to cpu,cpuacct/c/cpu.rt_runtime_us
write "500000" to cpu,cpuacct/c/cpu.rt_period_us
write "33554432" to memory/c/memory.soft_limit_in_bytes
write "67108864" to memory/c/memory.limit_in_bytes
write "67112960" to memory/c/memory.memsw.limit_in_bytes
write "0" to memory/c/memory.swappiness
write "1" to memory/c/memory.oom_control
write "100" to pids/c/pids.max
write "20" to blkio/c/blkio.leaf_weight
write "500" to blkio/c/blkio.weight, or else write "500" to blkio/c/blkio.bfq.weight
write "8:16 10" to blkio/c/blkio.weight_device, or else write "8:16 10" to blkio/c/blkio.bfq.weight_device
write "8:16 1000" to blkio/c/blkio.throttle.read_bps_device
write "8:16 2000" to blkio/c/blkio.throttle.write_bps_device
write "8:16 30" to blkio/c/blkio.throttle.read_iops_device
write "8:16 0" to blkio/c/blkio.throttle.write_iops_device
HUGE
write "1048577" to net_cls,net_prio/c/net_cls.classid
write "eth0 5" to net_cls,net_prio/c/net_prio.ifpriomap
write "a hca_object=1" to rdma/c/rdma.max
write "mlx5 hca_handle=3 hca_object=4" to rdma/c/rdma.max`
	for name, c := range map[string]struct {
		kind, want string
		more       func(*specs.LinuxResources)
	}{
		"v1": {
			kind: V1, more: v1Only,
			want: strings.Replace(v1, "HUGE", `write "4194304" to hugetlb/c/hugetlb.2MB.rsvd.limit_in_bytes, or else write "4194304" to hugetlb/c/hugetlb.2MB.limit_in_bytes`, 1),
		},
		"mixed": {
			kind: Mixed, more: func(r *specs.LinuxResources) {
				v1Only(r)
				r.Unified = map[string]string{"hugetlb.2MB.max": "1", "cpu.pressure": "some 1 2"}
			},
			want: strings.Replace(v1, "HUGE", `write "4194304" to unified/c/hugetlb.2MB.rsvd.max, or else write "4194304" to unified/c/hugetlb.2MB.max`, 1) +
				"\nwrite \"some 1 2\" to unified/c/cpu.pressure\nwrite \"1\" to unified/c/hugetlb.2MB.max",
		},
		"v2": {
			kind: V2, more: func(r *specs.LinuxResources) {
				r.Unified = map[string]string{"memory.high": "max", "io.max": "8:0 rbps=1\n8:16 rbps=2\n"}
			},
			want: `write "0-1" to c/cpuset.cpus
write "0" to c/cpuset.mems
write "174" to c/cpu.weight
write "1" to c/cpu.idle
write "50000 200000" to c/cpu.max
write "10000" to c/cpu.max.burst
write "33554432" to c/memory.low
write "67108864" to c/memory.max
write "4096" to c/memory.swap.max
write "100" to c/pids.max
write "4950" to c/io.weight, or else write "500" to c/io.bfq.weight
write "500" to c/io.bfq.weight, or else write "4950" to c/io.weight
write "8:16 1" to c/io.weight, or else write "8:16 10" to c/io.bfq.weight
write "8:16 10" to c/io.bfq.weight, or else write "8:16 1" to c/io.weight
write "8:16 rbps=1000" to c/io.max
write "8:16 wbps=2000" to c/io.max
write "8:16 riops=30" to c/io.max
write "8:16 wiops=max" to c/io.max
write "4194304" to c/hugetlb.2MB.rsvd.max, or else write "4194304" to c/hugetlb.2MB.max
write "a hca_object=1" to c/rdma.max
write "mlx5 hca_handle=3 hca_object=4" to c/rdma.max
write "8:0 rbps=1" to c/io.max
write "8:16 rbps=2" to c/io.max
write "max" to c/memory.high`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := everything()
			c.more(r)
			calls, err := sampleGroup(t, c.kind).Limits(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(c.want, "\n"), strings.Split(lines(calls), "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, call := range calls {
				if call.Why == "" || call.Shell() == "" {
					t.Errorf("%s: why %q, shell %q", call, call.Why, call.Shell())
				}
			}
		})
	}
}

// TestNoLimits plans nothing for resources that name nothing, even where there is no controller at all.
func TestNoLimits(t *testing.T) {
	for name, r := range map[string]*specs.LinuxResources{
		"nothing": nil,
		"empty": {
			Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, Pids: &specs.LinuxPids{}, BlockIO: &specs.LinuxBlockIO{},
			Network: &specs.LinuxNetwork{}, Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
		},
	} {
		calls, err := Group{}.Limits(r)
		if len(calls) > 0 || err != nil {
			t.Errorf("%s: %v, %v", name, calls, err)
		}
	}
	zeros := &specs.LinuxResources{
		//lint:ignore SA1019 Kernel is deprecated, and there still
		Memory:  &specs.LinuxMemory{Limit: new(int64(0)), Swap: new(int64(0)), Reservation: new(int64(0)), Kernel: new(int64(0)), KernelTCP: new(int64(0))},
		CPU:     &specs.LinuxCPU{Shares: new(uint64(0)), Quota: new(int64(0)), Period: new(uint64(0)), Burst: new(uint64(0)), RealtimePeriod: new(uint64(0)), RealtimeRuntime: new(int64(0))},
		BlockIO: &specs.LinuxBlockIO{Weight: new(uint16(0))},
	}
	for _, kind := range []string{V1, V2} {
		if calls, err := sampleGroup(t, kind).Limits(zeros); len(calls) > 0 || err != nil {
			t.Errorf("zeros in %s: %v, %v", kind, calls, err)
		}
	}
}

// TestUnlimited writes no limit in the words of each version, and a limit of no processes at all as such.
func TestUnlimited(t *testing.T) {
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: new(int64(-1)), Swap: new(int64(-1)), Reservation: new(int64(-1))},
		CPU:    &specs.LinuxCPU{Quota: new(int64(-1)), Shares: new(uint64(1 << 40))},
		Pids:   &specs.LinuxPids{Limit: new(int64(-1))},
	}
	for kind, want := range map[string]string{
		V1: `write "262144" to cpu,cpuacct/c/cpu.shares
write "-1" to cpu,cpuacct/c/cpu.cfs_quota_us
write "-1" to memory/c/memory.soft_limit_in_bytes
write "-1" to memory/c/memory.limit_in_bytes
write "-1" to memory/c/memory.memsw.limit_in_bytes
write "max" to pids/c/pids.max`,
		V2: `write "10000" to c/cpu.weight
write "max 100000" to c/cpu.max
write "max" to c/memory.low
write "max" to c/memory.max
write "max" to c/memory.swap.max
write "max" to c/pids.max`,
	} {
		calls, err := sampleGroup(t, kind).Limits(r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, lines(calls)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", kind, diff)
		}
	}
	for kind, want := range map[string]string{V1: `write "1" to pids/c/pids.max`, V2: `write "1" to c/pids.max`} {
		calls, err := sampleGroup(t, kind).Limits(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(0))}})
		if lines(calls) != want || err != nil {
			t.Errorf("0 processes, %s: %v, %v", kind, calls, err)
		}
	}
}

// TestEitherShell runs the script with sh(1): it writes the first file that is there, or complains.
func TestEitherShell(t *testing.T) {
	for name, there := range map[string][]string{"first": {"a", "b"}, "second": {"b"}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, file := range there {
				if err := os.WriteFile(dir+"/"+file, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			e := either{Writes: []kernel.WriteFile{{Path: dir + "/a", Data: "x y"}, {Path: dir + "/b", Data: "z"}}}
			if err := exec.Command("sh", "-c", e.Shell()).Run(); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, file := range []string{"a", "b"} {
				if data, err := os.ReadFile(dir + "/" + file); err == nil {
					got[file] = string(data)
				}
			}
			want := map[string]map[string]string{"first": {"a": "x y", "b": ""}, "second": {"b": "z"}, "none": {"b": "z"}}[name]
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestWeight converts the ends, the usual values and what is outside of the range, and never turns an order round.
func TestWeight(t *testing.T) {
	for n, want := range map[uint64]uint64{
		0: 1, 1: 1, 2: 1, 100: 17, 512: 59, 1023: 100, 1024: 100, 2048: 174, 8192: 532, 262143: 10000, 262144: 10000, 1 << 63: 10000,
	} {
		if got := weight(n); got != want {
			t.Errorf("weight(%d) = %d, want %d", n, got, want)
		}
	}
	last := uint64(0)
	for n := range uint64(mostShares + 1) {
		got := weight(n)
		if got < last || got < 1 || got > 10000 {
			t.Fatalf("weight(%d) = %d after %d", n, got, last)
		}
		last = got
	}
	for n, want := range map[uint16]uint64{10: 1, 500: 4950, 1000: 10000} {
		if got := ioWeight(n); got != want {
			t.Errorf("ioWeight(%d) = %d, want %d", n, got, want)
		}
	}
}

// TestParseSpans reads lists, and refuses what is none.
func TestParseSpans(t *testing.T) {
	for text, want := range map[string]string{
		"":          "[]",
		"0":         "[{0 0}]",
		"0-3,7":     "[{0 3} {7 7}]",
		"7,0-2,3,1": "[{0 3} {7 7}]",
		"5-9,2-6":   "[{2 9}]",
		"65535":     "[{65535 65535}]",
		"65536":     `"65536" is no number from 0 to 65535: give a list like 0-3,7`,
		"-1":        `"" is no number from 0 to 65535: give a list like 0-3,7`,
		"0-":        `"" is no number from 0 to 65535: give a list like 0-3,7`,
		"0,,1":      `"" is no number from 0 to 65535: give a list like 0-3,7`,
		"0, 1":      `" 1" is no number from 0 to 65535: give a list like 0-3,7`,
		"0-1-2":     `"1-2" is no number from 0 to 65535: give a list like 0-3,7`,
		"+1":        `"+1" is no number from 0 to 65535: give a list like 0-3,7`,
		"all":       `"all" is no number from 0 to 65535: give a list like 0-3,7`,
		"0\n":       `"0\n" is no number from 0 to 65535: give a list like 0-3,7`,
		"3-1":       `the range "3-1" ends before it begins: write it as 1-3`,
	} {
		spans, err := parseSpans(text)
		got := fmt.Sprint(spans)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// FuzzParseSpans compares the ranges with the numbers that the list names one by one.
func FuzzParseSpans(f *testing.F) {
	for _, seed := range []string{"", "0", "0-3,7", "7,0-2,3,1", "65535", "3-1", "1,,2", "0-65535,5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spans, err := parseSpans(text)
		if err != nil || text == "" {
			return
		}
		want := make([]bool, 1<<16)
		for part := range strings.SplitSeq(text, ",") {
			var first, last int
			if n, _ := fmt.Sscanf(part, "%d-%d", &first, &last); n == 1 {
				last = first
			}
			for n := first; n <= last; n++ {
				want[n] = true
			}
		}
		got, end := make([]bool, 1<<16), -2
		for _, s := range spans {
			if s.first <= end+1 || s.last < s.first {
				t.Fatalf("%q: %v touch or are out of order", text, spans)
			}
			for end = s.first; end <= s.last; end++ {
				got[end] = true
			}
			end = s.last
		}
		if !slices.Equal(want, got) {
			t.Errorf("%q: %v", text, spans)
		}
	})
}

// TestAmong compares a list with that of the group above.
func TestAmong(t *testing.T) {
	for name, c := range map[string]struct{ want, have, message string }{
		"all":       {"0-3", "0-3\n", ""},
		"some":      {"0,2", "0-1,2-3,8\n", ""},
		"one more":  {"0-4", "0-3\n", "/above says that there are only 0-3: give some of these"},
		"a hole":    {"0-8", "0-3,8\n", "/above says that there are only 0-3,8: give some of these"},
		"none here": {"9", "0-3\n", "/above says that there are only 0-3: give some of these"},
	} {
		got := ""
		if err := (among{kernel.WriteFile{Data: c.want}, "/above"}).check(c.have); err != nil {
			got = err.Error()
		}
		if got != c.message {
			t.Errorf("%s: %q, want %q", name, got, c.message)
		}
	}
}
