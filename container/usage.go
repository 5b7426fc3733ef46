// SPDX-License-Identifier: Apache-2.0

package container

import (
	"math"
	"strconv"
	"strings"
)

// Event is what engines read, a line of JSON each, in the form of runc's (runc types/events.go).
type Event struct {
	// Type is "stats", with Data, or "oom": the kernel killed a process of the container for want of memory.
	Type string `json:"type"`
	ID   string `json:"id"`
	Data *Usage `json:"data,omitempty"`
}

// Usage is what a container uses and what limits it, with the keys that runc has. Numbers that the kernel does not count are 0.
type Usage struct {
	CPU     CPUUsage                `json:"cpu"`
	CPUSet  CPUSetUsage             `json:"cpuset"`
	Memory  MemoryUsage             `json:"memory"`
	Pids    PidsUsage               `json:"pids"`
	Blkio   BlkioUsage              `json:"blkio"`
	Hugetlb map[string]HugetlbUsage `json:"hugetlb"`
	// IntelRdt is empty: what the monitoring of resctrl counts is not read.
	IntelRdt struct{} `json:"intel_rdt"`
	// Network is null, as runc's is: the configuration has no interfaces.
	Network []struct{} `json:"network_interfaces"`
}

// CPUUsage is processor time, in nanoseconds.
type CPUUsage struct {
	Usage struct {
		Total        uint64   `json:"total,omitempty"`
		Percpu       []uint64 `json:"percpu,omitempty"`
		PercpuKernel []uint64 `json:"percpu_kernel,omitempty"`
		PercpuUser   []uint64 `json:"percpu_user,omitempty"`
		Kernel       uint64   `json:"kernel"`
		User         uint64   `json:"user"`
	} `json:"usage"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling"`
}

// CPUSetUsage is the controller cpuset of version 1; in version 2 all of it is 0.
type CPUSetUsage struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

// MemoryUsage is memory in bytes. Swap is memory and swap together, in version 2 as well.
type MemoryUsage struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryEntry       `json:"usage"`
	Swap      MemoryEntry       `json:"swap"`
	Kernel    MemoryEntry       `json:"kernel"`
	KernelTCP MemoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
}

// MemoryEntry is one kind of memory, in bytes. No limit is the largest number that the kernel's file knows.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"` // the highest usage so far
	Failcnt uint64 `json:"failcnt"`       // how often the limit was in the way
}

// PidsUsage is a number of tasks; a limit of 0 is none.
type PidsUsage struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlkioUsage is what was transferred from and to devices, in bytes, requests, nanoseconds and sectors.
type BlkioUsage struct {
	ServiceBytes []BlkioEntry `json:"ioServiceBytesRecursive,omitempty"`
	Serviced     []BlkioEntry `json:"ioServicedRecursive,omitempty"`
	Queued       []BlkioEntry `json:"ioQueueRecursive,omitempty"`
	ServiceTime  []BlkioEntry `json:"ioServiceTimeRecursive,omitempty"`
	WaitTime     []BlkioEntry `json:"ioWaitTimeRecursive,omitempty"`
	Merged       []BlkioEntry `json:"ioMergedRecursive,omitempty"`
	Time         []BlkioEntry `json:"ioTimeRecursive,omitempty"`
	Sectors      []BlkioEntry `json:"sectorsRecursive,omitempty"`
}

// BlkioEntry is one number of a device and an operation such as "Read", "Write", "Total".
type BlkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbUsage is what is used of huge pages of one size, in bytes.
type HugetlbUsage struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// parseFigure reads a number; "max" is the largest there is, and what is no number is 0.
func parseFigure(text string) uint64 {
	text = strings.TrimSpace(text)
	if text == "max" {
		return math.MaxUint64
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// parseNumbers reads a list of spans.
//
//	0-2,7
func parseNumbers(text string) []uint16 {
	var list []uint16
	for span := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		low, high, ok := strings.Cut(span, "-")
		if !ok {
			high = low
		}
		first, err1 := strconv.ParseUint(low, 10, 16)
		last, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil {
			return list
		}
		for n := first; n <= last; n++ {
			list = append(list, uint16(n))
		}
	}
	return list
}

// parsePerCPU reads cpuacct.usage_all: nanoseconds of each processor outside the kernel and in it.
//
//	cpu user system
//	0 4000000 20000000
//	1 2       3
func parsePerCPU(text string) (user, system []uint64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] == "cpu" {
			continue
		}
		user, system = append(user, parseFigure(fields[1])), append(system, parseFigure(fields[2]))
	}
	return user, system
}

// parseBlkio reads a file of the v1 controller blkio. The sum of all devices in the last line is left out.
//
//	8:16 Read 1459200
//	1    2    3
//	Total 1459200
func parseBlkio(text string) []BlkioEntry {
	var list []BlkioEntry
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		major, minor, ok := strings.Cut(strings.Join(fields[:min(1, len(fields))], ""), ":")
		if !ok || len(fields) < 2 {
			continue
		}
		e := BlkioEntry{Major: parseFigure(major), Minor: parseFigure(minor), Value: parseFigure(fields[len(fields)-1])}
		if len(fields) > 2 {
			e.Op = fields[1]
		}
		list = append(list, e)
	}
	return list
}

// parseIOStat reads io.stat of version 2 into bytes and requests.
//
//	8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0
//	1    2
func parseIOStat(text string) (bytes, requests []BlkioEntry) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		major, minor, ok := strings.Cut(strings.Join(fields[:min(1, len(fields))], ""), ":")
		if !ok {
			continue
		}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			e := BlkioEntry{Major: parseFigure(major), Minor: parseFigure(minor), Value: parseFigure(value)}
			switch key {
			case "rbytes", "rios":
				e.Op = "Read"
			case "wbytes", "wios":
				e.Op = "Write"
			default:
				continue // runc has these two alone
			}
			if strings.HasSuffix(key, "bytes") {
				bytes = append(bytes, e)
			} else {
				requests = append(requests, e)
			}
		}
	}
	return bytes, requests
}
