// SPDX-License-Identifier: Apache-2.0

package cgroups

import "cmp"

// Stats is what a group uses, and what limits it, at one moment. A part is nil when the group has no such controller;
// a pointer in a part is nil when the kernel does not count this.
type Stats struct {
	Memory *MemoryStats
	CPU    *CPUStats
	Pids   *PidsStats
	// IO has the devices that the group has used, by number. In version 1 newer kernels (seen in 6.18) count only on
	// devices that bfq serves or for which some group has a throttle.
	IO []IOStats
	// Hugetlb has the sizes of huge pages that the machine has, named as the kernel does: "2MB", "1GB".
	Hugetlb map[string]HugetlbStats
	// RDMA has the devices that the group uses or is limited on.
	RDMA map[string]RDMAStats
	// Pressure has the resources "cpu", "memory" and "io". It is of version 2 only, and empty where the kernel does not
	// measure (psi=0, or cgroup.pressure is 0).
	Pressure map[string]Pressure
}

// MemoryStats is the use of memory by the group and those below it, in bytes (cgroup-v1/memory.rst; cgroup-v2.rst,
// "Memory Interface Files").
type MemoryStats struct {
	// Usage is all memory in use, with what is kept of files only because nobody else needs it yet.
	Usage uint64
	// Limit is what it cannot exceed, or Unlimited.
	Limit uint64
	// Peak is the highest usage so far. Version 2 counts it since Linux 5.19.
	Peak *uint64
	// Failures is how often usage came to the limit. The kernel then frees memory, or kills. In version 1 newer kernels
	// (seen in 6.18) leave it at 0.
	Failures uint64
	// Swap is what is in swap, and SwapLimit how much may be, or Unlimited. Version 1 limits memory and swap together:
	// this is what is left of that when memory is at its own limit. Nil if swap is not counted.
	Swap, SwapLimit *uint64
	// Kernel is what the kernel uses for the group. Version 2 counts it since Linux 5.18.
	Kernel *uint64
	// RSS is anonymous memory (heaps, stacks), Cache that of files, tmpfs included, InactiveFile the part of the cache
	// that can be given back first.
	RSS, Cache, InactiveFile uint64
	// Detail is all of memory.stat. Names of version 1 that start with "total_" have the groups below in them.
	Detail map[string]uint64
}

// WorkingSet is the usage without the inactive part of the file cache, in bytes: what docker stats shows.
func (m MemoryStats) WorkingSet() uint64 { return m.Usage - min(m.InactiveFile, m.Usage) }

// CPUStats is processor time, in nanoseconds.
type CPUStats struct {
	// Usage is the time used, on all processors. User and System are its parts outside and in the kernel; version 1
	// tells these in ticks of 10 ms.
	Usage, User, System uint64
	// PerCPU is the usage of each processor, in order. Version 2 does not tell.
	PerCPU []uint64
	// Throttling is nil if the group has no controller cpu.
	Throttling *Throttling
}

// Throttling says what a quota did (scheduler/sched-bwc.rst).
type Throttling struct {
	// Periods is how many periods had something to run, Throttled in how many of these the quota was used up.
	Periods, Throttled uint64
	// Time is how long the group had to stand still for it, in nanoseconds, added up over the processors.
	Time uint64
}

// PidsStats is a number of tasks: threads count.
type PidsStats struct {
	// Current is how many there are.
	Current uint64
	// Limit is how many may be made, or Unlimited.
	Limit uint64
}

// Device is the number of a block device.
type Device struct{ Major, Minor uint32 }

// compare orders devices by number.
func (d Device) compare(other Device) int {
	return cmp.Or(cmp.Compare(d.Major, other.Major), cmp.Compare(d.Minor, other.Minor))
}

// IOStats is what was transferred from and to a device since the group was made.
type IOStats struct {
	Device Device
	// ReadBytes, WriteBytes and DiscardBytes are bytes.
	ReadBytes, WriteBytes, DiscardBytes uint64
	// Reads, Writes and Discards are requests.
	Reads, Writes, Discards uint64
}

// HugetlbStats is the use of huge pages of one size, in bytes.
type HugetlbStats struct {
	// Usage is what is in use, Limit what may be, or Unlimited.
	Usage, Limit uint64
	// Peak is the highest usage so far. Version 2 does not tell.
	Peak *uint64
	// Failures is how often the limit was in the way.
	Failures uint64
}

// RDMAStats is the use of one RDMA device.
type RDMAStats struct{ Current, Limit RDMAObjects }

// RDMAObjects are numbers of handles and objects of an RDMA device, as limits possibly Unlimited.
type RDMAObjects struct{ Handles, Objects uint64 }
