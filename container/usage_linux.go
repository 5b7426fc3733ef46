// SPDX-License-Identifier: Apache-2.0

package container

import (
	"math"
	"strconv"
	"strings"

	"stave/cgroups"
	"stave/kernel"
)

// usage reads what a group uses. Where [cgroups.Stats] leaves out what runc has, the files are read here.
func usage(g cgroups.Group) (*Usage, error) {
	s, err := g.Stats()
	if err != nil {
		return nil, err
	}
	f := figures{g}
	u := &Usage{CPU: f.cpu(s), CPUSet: f.cpuset(), Memory: f.memory(s), Blkio: f.blkio(), Hugetlb: map[string]HugetlbUsage{}}
	if p := s.Pids; p != nil {
		u.Pids = PidsUsage{Current: p.Current, Limit: p.Limit}
		if p.Limit == cgroups.Unlimited {
			u.Pids.Limit = 0
		}
	}
	for size, h := range s.Hugetlb {
		u.Hugetlb[size] = HugetlbUsage{Usage: h.Usage, Failcnt: h.Failures, Max: orZero(h.Peak)}
	}
	return u, nil
}

// orZero is a number that may not be counted.
func orZero(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

// figures reads single files of a group; one that is not there is empty.
type figures struct{ group cgroups.Group }

// text reads a file, whose name begins with that of its controller.
func (f figures) text(file string) string {
	controller, _, _ := strings.Cut(file, ".")
	folder, ok := f.group.Folder(controller)
	if !ok {
		return ""
	}
	text, err := kernel.ReadFile(folder.File(file))
	if err != nil {
		return ""
	}
	return string(text)
}

// number reads a file of one number.
func (f figures) number(file string) uint64 { return parseFigure(f.text(file)) }

// version is that of a controller's hierarchy, 0 if there is none.
func (f figures) version(controller string) int {
	folder, _ := f.group.Folder(controller)
	return folder.Version
}

// cpu reads processor time.
func (f figures) cpu(s cgroups.Stats) (u CPUUsage) {
	if s.CPU == nil {
		return u
	}
	u.Usage.Total, u.Usage.Kernel, u.Usage.User = s.CPU.Usage, s.CPU.System, s.CPU.User
	u.Usage.Percpu = s.CPU.PerCPU
	u.Usage.PercpuUser, u.Usage.PercpuKernel = parsePerCPU(f.text("cpuacct.usage_all"))
	if t := s.CPU.Throttling; t != nil {
		u.Throttling.Periods, u.Throttling.ThrottledPeriods, u.Throttling.ThrottledTime = t.Periods, t.Throttled, t.Time
	}
	return u
}

// cpuset reads the controller cpuset of version 1.
func (f figures) cpuset() (u CPUSetUsage) {
	if f.version("cpuset") != 1 {
		return u
	}
	u.CPUs, u.Mems = parseNumbers(f.text("cpuset.cpus")), parseNumbers(f.text("cpuset.mems"))
	for file, figure := range map[string]*uint64{
		"cpu_exclusive": &u.CPUExclusive, "mem_hardwall": &u.MemHardwall, "mem_exclusive": &u.MemExclusive,
		"memory_migrate": &u.MemoryMigrate, "memory_spread_page": &u.MemorySpreadPage, "memory_spread_slab": &u.MemorySpreadSlab,
		"memory_pressure": &u.MemoryPressure, "sched_load_balance": &u.SchedLoadBalance,
	} {
		*figure = f.number("cpuset." + file)
	}
	u.SchedRelaxDomainLevel, _ = strconv.ParseInt(strings.TrimSpace(f.text("cpuset.sched_relax_domain_level")), 10, 64)
	return u
}

// memory reads the controller memory.
func (f figures) memory(s cgroups.Stats) (u MemoryUsage) {
	if s.Memory == nil {
		return u
	}
	u.Raw = s.Memory.Detail
	if f.version("memory") == 1 {
		u.Cache = u.Raw["cache"]
		for kind, entry := range map[string]*MemoryEntry{"": &u.Usage, "memsw.": &u.Swap, "kmem.": &u.Kernel, "kmem.tcp.": &u.KernelTCP} {
			file := "memory." + kind
			*entry = MemoryEntry{
				Limit: f.number(file + "limit_in_bytes"), Usage: f.number(file + "usage_in_bytes"),
				Max: f.number(file + "max_usage_in_bytes"), Failcnt: f.number(file + "failcnt"),
			}
		}
		return u
	}
	u.Cache = s.Memory.Cache
	u.Usage = MemoryEntry{Limit: s.Memory.Limit, Usage: s.Memory.Usage, Max: orZero(s.Memory.Peak), Failcnt: s.Memory.Failures}
	u.Swap = MemoryEntry{Limit: orZero(s.Memory.SwapLimit), Usage: orZero(s.Memory.Swap) + u.Usage.Usage}
	if u.Swap.Limit == cgroups.Unlimited || u.Usage.Limit == cgroups.Unlimited {
		u.Swap.Limit = math.MaxUint64
	} else {
		u.Swap.Limit += u.Usage.Limit
	}
	return u
}

// blkio reads the controller blkio or io. The scheduler bfq counts for itself the devices that it serves, and much more than
// the throttle does.
func (f figures) blkio() (u BlkioUsage) {
	if f.version("io") == 2 {
		u.ServiceBytes, u.Serviced = parseIOStat(f.text("io.stat"))
		return u
	}
	for file, list := range map[string]*[]BlkioEntry{
		"io_service_bytes": &u.ServiceBytes, "io_serviced": &u.Serviced, "io_queued": &u.Queued, "io_service_time": &u.ServiceTime,
		"io_wait_time": &u.WaitTime, "io_merged": &u.Merged, "time": &u.Time, "sectors": &u.Sectors,
	} {
		*list = parseBlkio(f.text("blkio.bfq." + file + "_recursive"))
	}
	if len(u.Serviced) == 0 {
		u.ServiceBytes = parseBlkio(f.text("blkio.throttle.io_service_bytes_recursive"))
		u.Serviced = parseBlkio(f.text("blkio.throttle.io_serviced_recursive"))
	}
	return u
}
