// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"math"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The fields of linux.resources.memory that errors name.
const (
	fieldLimit = "memory.limit"
	fieldSwap  = "memory.swap"
)

// noSwapCount says why a kernel has no limit for swap.
const noSwapCount = "the kernel does not count swap: boot with swapaccount=1, or leave out linux.resources.memory.swap"

// memory plans linux.resources.memory.
func (p *planner) memory(r *specs.LinuxResources) error {
	m := r.Memory
	if m == nil || *m == (specs.LinuxMemory{}) {
		return nil
	}
	f, err := p.folder("memory", "memory")
	if err != nil {
		return err
	}
	if err := checkMemory(f, m); err != nil {
		return err
	}
	if err := p.checkUsage(f, m); err != nil {
		return err
	}
	if set(m.Reservation) {
		name := "memory.low"
		if f.Version == 1 {
			name = "memory.soft_limit_in_bytes"
		}
		p.write(f, name, amount(f.Version, *m.Reservation),
			"so much memory is left to the container when the machine runs short")
	}
	if f.Version == 2 {
		return p.memory2(f, m)
	}
	return p.memory1(f, m)
}

// checkMemory refuses what the kernel would not take, or only seem to take.
func checkMemory(f Folder, m *specs.LinuxMemory) error {
	files := []string{"memory.max", "memory.swap.max", "memory.low"}
	if f.Version == 1 {
		files = []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"}
	}
	for i, value := range []*int64{m.Limit, m.Swap, m.Reservation} {
		if value != nil && *value < -1 {
			field := []string{fieldLimit, fieldSwap, "memory.reservation"}[i]
			return refuse(field, *value, f.File(files[i]), "give bytes, or -1 for no limit")
		}
	}
	const kernel, tcp = "memory.kmem.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"
	const old = "Linux has given up limits for kernel memory alone: leave it out, memory.limit counts that memory too"
	//lint:ignore SA1019 Kernel is deprecated, which is what the error says.
	limit := m.Kernel
	switch {
	case set(limit) && *limit != -1:
		return refuse("memory.kernel", *limit, kernel, old)
	case set(m.KernelTCP) && *m.KernelTCP != -1:
		return refuse("memory.kernelTCP", *m.KernelTCP, tcp, old)
	}
	if m.UseHierarchy != nil && !*m.UseHierarchy {
		return refuse("memory.useHierarchy", false, "memory.use_hierarchy",
			"kernels since 5.11 always count the groups below a group: leave it out")
	}
	switch {
	case m.Swappiness != nil && f.Version == 2:
		return refuse("memory.swappiness", *m.Swappiness, "memory.swappiness",
			"version 2 has no such file, only vm.swappiness for the whole machine: leave it out")
	case m.Swappiness != nil && *m.Swappiness > 100:
		return refuse("memory.swappiness", *m.Swappiness, f.File("memory.swappiness"), "give 0 to 100")
	case m.DisableOOMKiller != nil && *m.DisableOOMKiller && f.Version == 2:
		return refuse("memory.disableOOMKiller", true, "memory.oom_control",
			"version 2 has no such file, a group without memory is always killed: leave it out, or lower process.oomScoreAdj")
	}
	return nil
}

// checkUsage refuses a limit below what is used now, if memory.checkBeforeUpdate says so.
func (p *planner) checkUsage(f Folder, m *specs.LinuxMemory) error {
	if p.fresh || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || !set(m.Limit) {
		return nil
	}
	limit, usage := "memory.max", "memory.current"
	if f.Version == 1 {
		limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
	}
	if used, ok := p.now.number(usage); ok && used > ceiling(*m.Limit) {
		return refuse(fieldLimit, *m.Limit, f.File(limit), "the container uses "+strconv.FormatInt(used, 10)+
			" bytes now, and memory.checkBeforeUpdate is set: give more, or end processes first")
	}
	return nil
}

// memory1 plans the files of version 1. The limit of memory and swap together (memsw) may never be below that of memory.
func (p *planner) memory1(f Folder, m *specs.LinuxMemory) error {
	const limitFile, totalFile = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
	limit, total, err := p.limits(f, m, limitFile, totalFile)
	if err != nil {
		return err
	}
	now := p.now.or(totalFile, -1)
	if total == nil && limit != nil && ceiling(*limit) > ceiling(now) {
		return refuse(fieldLimit, *limit, f.File(limitFile), "it is above the present limit for memory and swap, "+
			strconv.FormatInt(now, 10)+" bytes: set memory.swap as well")
	}
	setLimit := func() {
		if limit != nil {
			p.write(f, limitFile, amount(1, *limit), whyLimit)
		}
	}
	setTotal := func() {
		if total != nil {
			p.optional(f, totalFile, amount(1, *total), "memory and swap together are no more than this", noSwapCount)
		}
	}
	if total != nil && ceiling(*total) > ceiling(now) {
		setTotal()
		setLimit()
	} else {
		setLimit()
		setTotal()
	}
	if m.Swappiness != nil {
		p.write(f, "memory.swappiness", strconv.FormatUint(*m.Swappiness, 10),
			"how readily the kernel moves the container's memory to swap")
	}
	if m.DisableOOMKiller != nil {
		p.write(f, "memory.oom_control", map[bool]string{true: "1", false: "0"}[*m.DisableOOMKiller],
			"whether processes wait (1) or are killed (0) when the container has no memory left")
	}
	return nil
}

// whyLimit is what the limit of memory does.
const whyLimit = "processes of the container that use more are killed"

// memory2 plans the files of version 2, in which the limit of swap is one of swap alone.
func (p *planner) memory2(f Folder, m *specs.LinuxMemory) error {
	limit, total, err := p.limits(f, m, "memory.max", "memory.swap.max")
	if err != nil {
		return err
	}
	if limit != nil {
		p.write(f, "memory.max", amount(2, *limit), whyLimit)
	}
	if total == nil {
		return nil
	}
	swap := *total
	if swap != -1 {
		if limit == nil {
			now := p.now.or("memory.max", -1)
			limit = &now
		}
		swap -= *limit
	}
	p.optional(f, "memory.swap.max", amount(2, swap), "no more of the container's memory than this goes to swap", noSwapCount)
	return nil
}

// limits returns the new limits of memory and of memory with swap, nil for those that stay. Without a limit of memory there
// is none for both together: "unlimited" for the first is also said of the second.
func (p *planner) limits(f Folder, m *specs.LinuxMemory, limitFile, swapFile string) (limit, total *int64, err error) {
	if set(m.Limit) {
		limit = m.Limit
	}
	if !set(m.Swap) {
		if !p.fresh && limit != nil && *limit == -1 {
			total = limit
		}
		return limit, total, nil
	}
	least := p.now.or(limitFile, -1)
	if limit != nil {
		least = *limit
	}
	switch {
	case *m.Swap == -1:
	case least == -1:
		return nil, nil, refuse(fieldSwap, *m.Swap, f.File(swapFile),
			"it limits memory and swap together, and memory has no limit: set memory.limit as well")
	case *m.Swap < least:
		return nil, nil, refuse(fieldSwap, *m.Swap, f.File(swapFile), "it limits memory and swap together, so it is at least memory.limit, "+
			strconv.FormatInt(least, 10)+" bytes: give as much for no swap at all, or more")
	}
	return limit, m.Swap, nil
}

// ceiling is a limit as a number to compare: -1 is above all.
func ceiling(n int64) int64 {
	if n == -1 {
		return math.MaxInt64
	}
	return n
}
