// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// Stats reads what the group and those below it use. Controllers that the group does not have are left out, as are
// figures for which the kernel has no file. A group that is not there in any hierarchy is an error (fs.ErrNotExist).
func (g Group) Stats() (Stats, error) {
	var there Group
	for _, f := range g.Folders {
		if _, err := os.Stat(f.Path); err == nil {
			there.Folders = append(there.Folders, f)
		} else if !gone(err) {
			return Stats{}, err
		}
	}
	if len(there.Folders) == 0 {
		return Stats{}, fmt.Errorf("statistics: %w: the container has no cgroup, or it was removed", fs.ErrNotExist)
	}
	r := &reading{group: there}
	s := Stats{
		Memory: r.memory(), CPU: r.cpu(), Pids: r.pids(), IO: r.io(), Hugetlb: r.hugetlb(), RDMA: r.rdma(),
		Pressure: r.pressure(),
	}
	return s, r.err
}

// reading reads one file after the other and keeps the first error; after that it reads nothing.
type reading struct {
	group Group
	err   error
}

// get reads a file of a folder with a parser. It tells false if there is no such file or no such folder.
func get[T any](r *reading, f Folder, name string, parser func(string) (T, error)) (T, bool) {
	var zero T
	if r.err != nil || f.Path == "" {
		return zero, false
	}
	text, err := kernel.ReadFile(f.File(name))
	// A kernel started with psi=0 has the files for pressure, and says EOPNOTSUPP.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
		return zero, false
	}
	if err == nil {
		var value T
		if value, err = parser(string(text)); err == nil {
			return value, true
		}
		err = fmt.Errorf("%s: %w", f.File(name), err)
	}
	r.err = err
	return zero, false
}

// amount reads a file of one number, 0 if it is not there.
func (r *reading) amount(f Folder, name string) uint64 {
	n, _ := get(r, f, name, parseAmount)
	return n
}

// optional reads a file of one number, nil if it is not there.
func (r *reading) optional(f Folder, name string) *uint64 {
	if n, ok := get(r, f, name, parseAmount); ok {
		return &n
	}
	return nil
}

// keyed reads a file of names and numbers, nil if it is not there.
func (r *reading) keyed(f Folder, name string) map[string]uint64 {
	values, _ := get(r, f, name, parseKeyed)
	return values
}

// memory reads the controller memory.
func (r *reading) memory() *MemoryStats {
	f, _ := r.group.Folder("memory")
	detail := r.keyed(f, "memory.stat")
	if detail == nil {
		return nil
	}
	if f.Version == 2 {
		m := &MemoryStats{
			Usage: r.amount(f, "memory.current"), Limit: r.amount(f, "memory.max"), Peak: r.optional(f, "memory.peak"),
			Failures: r.keyed(f, "memory.events")["max"],
			Swap:     r.optional(f, "memory.swap.current"), SwapLimit: r.optional(f, "memory.swap.max"),
			RSS: detail["anon"], Cache: detail["file"], InactiveFile: detail["inactive_file"], Detail: detail,
		}
		if bytes, ok := detail["kernel"]; ok {
			m.Kernel = &bytes
		}
		return m
	}
	m := &MemoryStats{
		Usage: r.amount(f, "memory.usage_in_bytes"), Limit: r.amount(f, "memory.limit_in_bytes"),
		Peak: r.optional(f, "memory.max_usage_in_bytes"), Failures: r.amount(f, "memory.failcnt"),
		Kernel: r.optional(f, "memory.kmem.usage_in_bytes"),
		RSS:    detail["total_rss"], Cache: detail["total_cache"], InactiveFile: detail["total_inactive_file"], Detail: detail,
	}
	if both := r.optional(f, "memory.memsw.limit_in_bytes"); both != nil {
		if *both != Unlimited {
			*both -= min(m.Limit, *both)
		}
		swap := detail["total_swap"]
		m.Swap, m.SwapLimit = &swap, both
	}
	return m
}

// cpu reads the controllers cpuacct and cpu of version 1, or cpu.stat of version 2, which every group there has.
func (r *reading) cpu() *CPUStats {
	const tick = 1e9 / 100 // USER_HZ, part of the kernel's promise to programs (time(7))
	f, _ := r.group.Folder("cpuacct")
	var s CPUStats
	switch stat := r.keyed(f, map[int]string{1: "cpuacct.stat", 2: "cpu.stat"}[f.Version]); {
	case stat == nil:
		return nil
	case f.Version == 2:
		s = CPUStats{Usage: stat["usage_usec"] * 1000, User: stat["user_usec"] * 1000, System: stat["system_usec"] * 1000}
	default:
		s = CPUStats{Usage: r.amount(f, "cpuacct.usage"), User: stat["user"] * tick, System: stat["system"] * tick}
		s.PerCPU, _ = get(r, f, "cpuacct.usage_percpu", parseList)
	}
	if f, ok := r.group.Folder("cpu"); ok {
		stat := r.keyed(f, "cpu.stat")
		if periods, ok := stat["nr_periods"]; ok {
			t := Throttling{Periods: periods, Throttled: stat["nr_throttled"], Time: stat["throttled_time"]}
			if f.Version == 2 {
				t.Time = stat["throttled_usec"] * 1000
			}
			s.Throttling = &t
		}
	}
	return &s
}

// pids reads the controller pids.
func (r *reading) pids() *PidsStats {
	f, _ := r.group.Folder("pids")
	if current := r.optional(f, "pids.current"); current != nil {
		return &PidsStats{Current: *current, Limit: r.amount(f, "pids.max")}
	}
	return nil
}

// io reads the controller io or blkio. In version 1 the scheduler bfq counts for itself the devices that it serves; the
// throttle counts all. Old kernels have no files that count the groups below as well.
func (r *reading) io() []IOStats {
	f, _ := r.group.Folder("io")
	if f.Version == 2 {
		all, _ := get(r, f, "io.stat", parseIO)
		return all
	}
	var all []IOStats
	for _, name := range []string{"bfq.%s_recursive", "bfq.%s", "throttle.%s_recursive", "throttle.%s"} {
		bytes, ok := get(r, f, "blkio."+fmt.Sprintf(name, "io_service_bytes"), parseBlkio)
		if !ok {
			continue
		}
		operations, _ := get(r, f, "blkio."+fmt.Sprintf(name, "io_serviced"), parseBlkio)
		if all = joinIO(bytes, operations); len(all) > 0 {
			break
		}
	}
	return all
}

// joinIO brings bytes and requests of version 1 together.
func joinIO(bytes, operations map[Device]map[string]uint64) []IOStats {
	all := []IOStats{}
	for _, d := range slices.SortedFunc(maps.Keys(bytes), Device.compare) {
		b, o := bytes[d], operations[d]
		all = append(all, IOStats{
			Device: d, ReadBytes: b["Read"], WriteBytes: b["Write"], DiscardBytes: b["Discard"],
			Reads: o["Read"], Writes: o["Write"], Discards: o["Discard"],
		})
	}
	return all
}

// hugetlb reads the controller hugetlb, whose files have the size of the pages in their names: hugetlb.2MB.current.
func (r *reading) hugetlb() map[string]HugetlbStats {
	f, ok := r.group.Folder("hugetlb")
	if !ok || r.err != nil {
		return nil
	}
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		r.err = err
		return nil
	}
	all := map[string]HugetlbStats{}
	for _, entry := range entries {
		prefix, isV1 := strings.CutSuffix(entry.Name(), ".usage_in_bytes")
		prefix, isV2 := strings.CutSuffix(prefix, ".current")
		size, huge := strings.CutPrefix(prefix, "hugetlb.")
		switch {
		case !huge || strings.Contains(size, "."): // what is reserved has files of its own: hugetlb.2MB.rsvd.current
		case isV1:
			all[size] = HugetlbStats{
				Usage: r.amount(f, entry.Name()), Limit: r.amount(f, prefix+".limit_in_bytes"),
				Peak: r.optional(f, prefix+".max_usage_in_bytes"), Failures: r.amount(f, prefix+".failcnt"),
			}
		case isV2:
			all[size] = HugetlbStats{
				Usage: r.amount(f, entry.Name()), Limit: r.amount(f, prefix+".max"), Failures: r.keyed(f, prefix+".events")["max"],
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// rdma reads the controller rdma, whose files are the same in both versions.
func (r *reading) rdma() map[string]RDMAStats {
	f, _ := r.group.Folder("rdma")
	current, ok := get(r, f, "rdma.current", parseRDMA)
	if !ok {
		return nil
	}
	limit, _ := get(r, f, "rdma.max", parseRDMA)
	all := map[string]RDMAStats{}
	for device := range limit {
		all[device] = RDMAStats{current[device], limit[device]}
	}
	return all
}

// pressure reads the pressure files.
func (r *reading) pressure() map[string]Pressure {
	f, ok := r.group.Unified()
	if !ok {
		return nil
	}
	all := map[string]Pressure{}
	for _, resource := range []string{"cpu", "memory", "io"} {
		if p, ok := get(r, f, resource+".pressure", parsePressure); ok {
			all[resource] = *p
		}
	}
	return all
}
