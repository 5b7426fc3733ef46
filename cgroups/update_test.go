// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// TestRefused reads the whole message of each configuration that no kernel could carry out.
func TestRefused(t *testing.T) {
	const all1 = "v1 with cpuset; v1 with cpu,cpuacct; v1 with blkio; v1 with memory; v1 with devices; v1 with freezer; " +
		"v1 with net_cls,net_prio; v1 with perf_event; v1 with hugetlb; v1 with pids; v1 with rdma"
	const all2 = "v2 with cpuset,cpu,io,memory,hugetlb,pids,rdma"
	const retired = "Linux has given up limits for kernel memory alone: leave it out, memory.limit counts that memory too"
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	disk := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	unified := func(file string) specs.LinuxResources {
		return specs.LinuxResources{Unified: map[string]string{file: "1"}}
	}
	pids := func(n int64) specs.LinuxResources {
		return specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
	}
	for name, c := range map[string]struct {
		kind, want string
		resources  specs.LinuxResources
	}{
		"memory below -1": {V1, "memory.limit: -2 for memory/c/memory.limit_in_bytes: give bytes, or -1 for no limit", memory(specs.LinuxMemory{Limit: new(int64(-2))})},
		"swap below -1":   {V2, "memory.swap: -7 for c/memory.swap.max: give bytes, or -1 for no limit", memory(specs.LinuxMemory{Limit: new(int64(1)), Swap: new(int64(-7))})},
		"reservation":     {V2, "memory.reservation: -2 for c/memory.low: give bytes, or -1 for no limit", memory(specs.LinuxMemory{Reservation: new(int64(-2))})},
		//lint:ignore SA1019 it is deprecated, and refused
		"kernel":         {V1, "memory.kernel: 1 for memory.kmem.limit_in_bytes: " + retired, memory(specs.LinuxMemory{Kernel: new(int64(1))})},
		"kernelTCP":      {V2, "memory.kernelTCP: 1 for memory.kmem.tcp.limit_in_bytes: " + retired, memory(specs.LinuxMemory{KernelTCP: new(int64(1))})},
		"hierarchy":      {V1, "memory.useHierarchy: false for memory.use_hierarchy: kernels since 5.11 always count the groups below a group: leave it out", memory(specs.LinuxMemory{UseHierarchy: new(false)})},
		"swappiness 101": {V1, "memory.swappiness: 101 for memory/c/memory.swappiness: give 0 to 100", memory(specs.LinuxMemory{Swappiness: new(uint64(101))})},
		"swappiness":     {V2, "memory.swappiness: 0 for memory.swappiness: version 2 has no such file, only vm.swappiness for the whole machine: leave it out", memory(specs.LinuxMemory{Swappiness: new(uint64(0))})},
		"no killer":      {V2, "memory.disableOOMKiller: true for memory.oom_control: version 2 has no such file, a group without memory is always killed: leave it out, or lower process.oomScoreAdj", memory(specs.LinuxMemory{DisableOOMKiller: new(true)})},
		"swap alone":     {V1, "memory.swap: 5 for memory/c/memory.memsw.limit_in_bytes: it limits memory and swap together, and memory has no limit: set memory.limit as well", memory(specs.LinuxMemory{Swap: new(int64(5))})},
		"swap and -1":    {V2, "memory.swap: 5 for c/memory.swap.max: it limits memory and swap together, and memory has no limit: set memory.limit as well", memory(specs.LinuxMemory{Limit: new(int64(-1)), Swap: new(int64(5))})},
		"swap too small": {V2, "memory.swap: 5 for c/memory.swap.max: it limits memory and swap together, so it is at least memory.limit, 6 bytes: give as much for no swap at all, or more", memory(specs.LinuxMemory{Limit: new(int64(6)), Swap: new(int64(5))})},
		"period":         {V1, "cpu.period: 999 for cpu,cpuacct/c/cpu.cfs_period_us: give 1000 to 1000000 microseconds", cpu(specs.LinuxCPU{Period: new(uint64(999))})},
		"long period":    {V2, "cpu.period: 1000001 for c/cpu.max: give 1000 to 1000000 microseconds", cpu(specs.LinuxCPU{Period: new(uint64(1_000_001))})},
		"quota":          {V2, "cpu.quota: 999 for c/cpu.max: give at least 1000 microseconds, or -1 for no limit", cpu(specs.LinuxCPU{Quota: new(int64(999))})},
		"quota below -1": {V1, "cpu.quota: -2 for cpu,cpuacct/c/cpu.cfs_quota_us: give at least 1000 microseconds, or -1 for no limit", cpu(specs.LinuxCPU{Quota: new(int64(-2))})},
		"burst":          {V2, "cpu.burst: 2001 for c/cpu.max.burst: it is above the quota of 2000 microseconds: give no more", cpu(specs.LinuxCPU{Quota: new(int64(2000)), Burst: new(uint64(2001))})},
		"huge burst":     {V1, "cpu.burst: 18446744073709551615 for cpu,cpuacct/c/cpu.cfs_burst_us: give no more than cpu.quota", cpu(specs.LinuxCPU{Burst: new(uint64(math.MaxUint64))})},
		"idle":           {V2, "cpu.idle: 2 for c/cpu.idle: give 1 to run only when nobody else wants to, or 0", cpu(specs.LinuxCPU{Idle: new(int64(2))})},
		"real time":      {V2, "cpu.realtimeRuntime: any value for cpu.rt_runtime_us: version 2 does not limit real-time processes: leave out realtimeRuntime and realtimePeriod", cpu(specs.LinuxCPU{RealtimePeriod: new(uint64(1))})},
		"cpus":           {V1, `cpu.cpus: "0-x" for cpuset/c/cpuset.cpus: "x" is no number from 0 to 65535: give a list like 0-3,7`, cpu(specs.LinuxCPU{Cpus: "0-x"})},
		"mems":           {V2, `cpu.mems: "1-0" for c/cpuset.mems: the range "1-0" ends before it begins: write it as 0-1`, cpu(specs.LinuxCPU{Mems: "1-0"})},
		"pids below -1":  {V1, "pids.limit: -2 for pids/c/pids.max: give 0 to 4194304, or -1 for no limit", pids(-2)},
		"pids":           {V2, "pids.limit: 4194305 for c/pids.max: give 0 to 4194304, or -1 for no limit", pids(4194305)},
		"io weight":      {V2, "blockIO.weight: 9 for c: give 10 to 1000", disk(specs.LinuxBlockIO{Weight: new(uint16(9))})},
		"leaf weight":    {V2, "blockIO.leafWeight: 10 for c: leaf weights went with the CFQ scheduler in Linux 5.0: leave them out", disk(specs.LinuxBlockIO{LeafWeight: new(uint16(10))})},
		"weight of none": {V1, "blockIO.weightDevice[0]: nothing for blkio/c: give weight or leafWeight", disk(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}})},
		"weight device":  {V1, "blockIO.weightDevice[0].leafWeight: 1001 for blkio/c: give 10 to 1000", disk(specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{LeafWeight: new(uint16(1001))}}})},
		"disk": {V2, "blockIO.throttleReadIOPSDevice[0]: -1:0 for c: give the numbers of a disk, as ls -l /dev shows them", disk(specs.LinuxBlockIO{
			ThrottleReadIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: specs.LinuxBlockIODevice{Major: -1}}},
		})},
		"huge pages":  {V1, `hugepageLimits[0].pageSize: "../2MB" for hugetlb/c: give the size of a page, like 2MB or 1GB (ls /sys/kernel/mm/hugepages)`, specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB"}}}},
		"class":       {V2, "network.classID: no net_cls controller on this machine (its hierarchies: " + all2 + "): leave it out, version 2 never has it; or have it mounted as version 1 (cgroups(7))", specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: new(uint32(1))}}},
		"longer name": {V2, `hugepageLimits[0].pageSize: "2MB.x" for c: give the size of a page, like 2MB or 1GB (ls /sys/kernel/mm/hugepages)`, specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB.x"}}}},
		"interface":   {V1, `network.priorities[0].name: "a b" for net_cls,net_prio/c/net_prio.ifpriomap: give the name of a network interface (ip link)`, specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}}}},
		"rdma":        {V2, "rdma: mlx5 for c/rdma.max: give hcaHandles or hcaObjects", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5": {}}}},
		"rdma name":   {V2, `rdma: "a b" for c/rdma.max: give the name of a device (ls /sys/class/infiniband)`, specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"a b": {}}}},
		"climbing":    {V2, `unified["../pids.max"]: "1" for the group's v2 folder: give the name of a file in that folder, like memory.high`, unified("../pids.max")},
		"dots":        {V2, `unified[".."]: "1" for the group's v2 folder: give the name of a file in that folder, like memory.high`, unified("..")},
		"no v2":       {V1, `unified["memory.high"]: "1" for memory.high: no hierarchy of version 2 on this machine (its hierarchies: ` + all1 + "): use the other fields of linux.resources", unified("memory.high")},
		"not in v2":   {V2, `unified["misc.max"]: "1" for c/misc.max: the v2 hierarchy has no controller misc (the hierarchies: ` + all2 + "): use the other fields of linux.resources", unified("misc.max")},
		"nothing":     {None, "pids: no pids controller on this machine (its hierarchies: none): leave it out, or have the controller mounted (cgroups(7))", pids(1)},
	} {
		t.Run(name, func(t *testing.T) {
			g := Group{}
			if c.kind != None {
				g = sampleGroup(t, c.kind)
			}
			calls, err := g.Limits(&c.resources)
			if err == nil || calls != nil {
				t.Fatalf("planned %v, %v", calls, err)
			}
			if diff := cmp.Diff("linux.resources."+c.want, strings.ReplaceAll(err.Error(), "/sys/fs/cgroup/", "")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestChange looks at the order of writes, which depends on what the files say.
func TestChange(t *testing.T) {
	limited := Values{"memory.limit_in_bytes": "1000", "memory.memsw.limit_in_bytes": "2000", "memory.usage_in_bytes": "500"}
	limited2 := Values{"memory.max": "1000", "memory.current": "500"}
	timed := Values{"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "cpu.cfs_burst_us": "20000", "cpu.rt_period_us": "1000000"}
	timed2 := Values{"cpu.max": "50000 100000", "cpu.max.burst": "20000", "cpu.idle": "1"}
	memory := func(limit, swap int64) specs.LinuxResources {
		return specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit, Swap: &swap, CheckBeforeUpdate: new(true)}}
	}
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	for name, c := range map[string]struct {
		kind      string
		now       Values
		resources specs.LinuxResources
		want      string
	}{
		"raise both":       {V1, limited, memory(3000, 4000), "memory.memsw.limit_in_bytes 4000|memory.limit_in_bytes 3000"},
		"lower both":       {V1, limited, memory(600, 700), "memory.limit_in_bytes 600|memory.memsw.limit_in_bytes 700"},
		"raise, no swap":   {V1, limited, memory(1500, 1500), "memory.limit_in_bytes 1500|memory.memsw.limit_in_bytes 1500"},
		"no limit":         {V1, limited, memory(-1, 0), "memory.memsw.limit_in_bytes -1|memory.limit_in_bytes -1"},
		"limit again":      {V1, Values{"memory.memsw.limit_in_bytes": "9223372036854771712"}, memory(600, 700), "memory.limit_in_bytes 600|memory.memsw.limit_in_bytes 700"},
		"above the total":  {V1, limited, memory(2001, 0), "error memory.limit: 2001 for memory/c/memory.limit_in_bytes: it is above the present limit for memory and swap, 2000 bytes: set memory.swap as well"},
		"in use":           {V1, limited, memory(499, 600), "error memory.limit: 499 for memory/c/memory.limit_in_bytes: the container uses 500 bytes now, and memory.checkBeforeUpdate is set: give more, or end processes first"},
		"in use, v2":       {V2, limited2, memory(499, 600), "error memory.limit: 499 for c/memory.max: the container uses 500 bytes now, and memory.checkBeforeUpdate is set: give more, or end processes first"},
		"all in use, v2":   {V2, limited2, memory(500, 600), "memory.max 500|memory.swap.max 100"},
		"no limit, v2":     {V2, limited2, memory(-1, 0), "memory.max max|memory.swap.max max"},
		"swap, v2":         {V2, limited2, specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: new(int64(1200))}}, "memory.swap.max 200"},
		"swap below, v2":   {V2, limited2, specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: new(int64(999))}}, "error memory.swap: 999 for c/memory.swap.max: it limits memory and swap together, so it is at least memory.limit, 1000 bytes: give as much for no swap at all, or more"},
		"longer period":    {V1, timed, cpu(specs.LinuxCPU{Period: new(uint64(200_000)), Quota: new(int64(90_000))}), "cpu.cfs_period_us 200000|cpu.cfs_quota_us 90000"},
		"same period":      {V1, timed, cpu(specs.LinuxCPU{Period: new(uint64(100_000))}), "cpu.cfs_period_us 100000"},
		"period stays, v2": {V2, Values{"cpu.max": "50000 70000"}, cpu(specs.LinuxCPU{Quota: new(int64(9000))}), "cpu.max 9000 70000"},
		"swap of any":      {V1, Values{"memory.limit_in_bytes": "9223372036854771712"}, specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: new(int64(5))}}, "error memory.swap: 5 for memory/c/memory.memsw.limit_in_bytes: it limits memory and swap together, and memory has no limit: set memory.limit as well"},
		"shorter period":   {V1, timed, cpu(specs.LinuxCPU{Period: new(uint64(50_000)), Quota: new(int64(25_000))}), "cpu.cfs_quota_us 25000|cpu.cfs_period_us 50000"},
		"less burst":       {V1, timed, cpu(specs.LinuxCPU{Burst: new(uint64(5_000)), Quota: new(int64(5_000))}), "cpu.cfs_burst_us 5000|cpu.cfs_quota_us 5000"},
		"more burst":       {V1, timed, cpu(specs.LinuxCPU{Burst: new(uint64(60_000)), Quota: new(int64(60_000))}), "cpu.cfs_quota_us 60000|cpu.cfs_burst_us 60000"},
		"burst stays":      {V1, timed, cpu(specs.LinuxCPU{Quota: new(int64(10_000))}), "error cpu.burst: 20000 for cpu,cpuacct/c/cpu.cfs_burst_us: it is above the quota of 10000 microseconds: give no more"},
		"no burst":         {V2, timed2, cpu(specs.LinuxCPU{Quota: new(int64(10_000)), Burst: new(uint64(0))}), "cpu.max.burst 0|cpu.max 10000 100000"},
		"quota, v2":        {V2, timed2, cpu(specs.LinuxCPU{Quota: new(int64(-1))}), "cpu.max max 100000"},
		"period, v2":       {V2, timed2, cpu(specs.LinuxCPU{Period: new(uint64(50_000))}), "cpu.max 50000 50000"},
		"idle has none":    {V2, timed2, cpu(specs.LinuxCPU{Shares: new(uint64(2))}), "error cpu.shares: 2 for c/cpu.weight: the group is idle (cpu.idle is 1) and has no shares: set cpu.idle to 0 as well"},
		"not idle":         {V2, timed2, cpu(specs.LinuxCPU{Shares: new(uint64(2)), Idle: new(int64(0))}), "cpu.idle 0|cpu.weight 1"},
		"idle":             {V1, timed, cpu(specs.LinuxCPU{Shares: new(uint64(2)), Idle: new(int64(1))}), "cpu.shares 2|cpu.idle 1"},
		"still idle":       {V2, timed2, cpu(specs.LinuxCPU{Idle: new(int64(1))}), ""},
		"real time":        {V1, timed, cpu(specs.LinuxCPU{RealtimePeriod: new(uint64(2_000_000)), RealtimeRuntime: new(int64(5))}), "cpu.rt_period_us 2000000|cpu.rt_runtime_us 5"},
		"less real time":   {V1, timed, cpu(specs.LinuxCPU{RealtimePeriod: new(uint64(999_999)), RealtimeRuntime: new(int64(5))}), "cpu.rt_runtime_us 5|cpu.rt_period_us 999999"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := sampleGroup(t, c.kind).Change(&c.resources, c.now)
			var got []string
			for _, call := range calls {
				w, ok := call.Request.(kernel.WriteFile)
				if e, is := call.Request.(either); is {
					w, ok = e.Writes[0], true
				}
				if !ok {
					t.Fatalf("%T", call.Request)
				}
				got = append(got, w.Path[strings.LastIndex(w.Path, "/")+1:]+" "+w.Data)
			}
			if err != nil {
				got = []string{"error " + strings.TrimPrefix(strings.ReplaceAll(err.Error(), "/sys/fs/cgroup/", ""), "linux.resources.")}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "|")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestBefore says what makes a write undone.
func TestBefore(t *testing.T) {
	for name, c := range map[string]struct{ file, data, old, want string }{
		"a number":      {"pids.max", "5", "max\n", "max\n"},
		"none":          {"cpuset.cpus", "0-1", "\n", "\n"},
		"two words":     {"cpu.max", "5000 100000", "max 100000\n", "max 100000\n"},
		"oom":           {"memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "0\n"},
		"a device":      {"io.max", "8:0 rbps=5", "8:16 rbps=1 wbps=2 riops=max wiops=max\n8:0 rbps=7 wbps=max riops=max wiops=9\n", "8:0 rbps=7 wbps=max riops=max wiops=9\n"},
		"no device":     {"io.max", "8:1 rbps=5", "8:16 rbps=1 wbps=2 riops=max wiops=max\n", "8:1 rbps=max wbps=max riops=max wiops=max\n"},
		"latency":       {"io.latency", "8:1 target=5", "", "8:1 target=0\n"},
		"throttle":      {"blkio.throttle.read_bps_device", "8:1 5", "8:16 7\n", "8:1 0\n"},
		"weight":        {"io.weight", "200", "default 100\n8:0 50\n", "default 100\n"},
		"device weight": {"io.weight", "8:0 200", "default 100\n8:0 50\n", "8:0 50\n"},
		"new weight":    {"io.weight", "8:1 200", "default 100\n8:0 50\n", "8:1 default\n"},
		"bfq":           {"blkio.bfq.weight_device", "8:1 200", "", "8:1 0\n"},
		"priority":      {"net_prio.ifpriomap", "eth0 5", "lo 0\neth0 3\n", "eth0 3\n"},
		"rdma":          {"rdma.max", "mlx5 hca_handle=1", "mlx4 hca_handle=max hca_object=max\nmlx5 hca_handle=2 hca_object=max\n", "mlx5 hca_handle=2 hca_object=max\n"},
		"misc":          {"misc.max", "sev 1", "sev max\n", "sev max\n"},
	} {
		if got := before(kernel.WriteFile{Path: "/g/" + c.file, Data: c.data}, c.old); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
