// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/docker/go-units"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
)

// update changes the limits of a container: those that a file names, or those that are options.
func update(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("update", flag.ContinueOnError)
	var file string
	flags.StringVar(&file, "resources", "", "`file` with linux.resources as JSON, - for standard input; other options are then an error")
	flags.StringVar(&file, "r", "", "the same `file`")
	r := limitFlags(flags)
	return onContainer(g, flags, args, func(i *container.Instance) error {
		if file != "" {
			var err error
			if r, err = readResources(flags, file); err != nil {
				return err
			}
		}
		return i.Update(r)
	})
}

// readResources reads the file of --resources.
func readResources(flags *flag.FlagSet, file string) (*specs.LinuxResources, error) {
	var other string
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "resources" && f.Name != "r" {
			other = f.Name
		}
	})
	if other != "" {
		return nil, fmt.Errorf("--%s: --resources names all limits: put it into %s", other, file)
	}
	in := os.Stdin
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return nil, fmt.Errorf("--resources: %w", err)
		}
		defer in.Close()
	}
	const most = 16 << 20
	r := &specs.LinuxResources{}
	if err := json.NewDecoder(io.LimitReader(in, most)).Decode(r); err != nil {
		return nil, fmt.Errorf("--resources %s: %w: it must be linux.resources of the specification, as {\"memory\":{\"limit\":67108864}}", file, err)
	}
	return r, nil
}

// limitFlags adds an option for each limit that runc's update has one for. The resources are filled in as they are read.
func limitFlags(flags *flag.FlagSet) *specs.LinuxResources {
	r := &specs.LinuxResources{}
	memory := func(set func(*specs.LinuxMemory, *int64)) func(string) error {
		return func(text string) error {
			n, err := size(text)
			if err == nil {
				if r.Memory == nil {
					r.Memory = &specs.LinuxMemory{}
				}
				set(r.Memory, &n)
			}
			return err
		}
	}
	flags.Func("memory", "`bytes` of memory at most, as 64m; -1 for any amount", memory(func(m *specs.LinuxMemory, n *int64) { m.Limit = n }))
	flags.Func("memory-reservation", "`bytes` of memory that are left to it when the machine runs short", memory(func(m *specs.LinuxMemory, n *int64) { m.Reservation = n }))
	flags.Func("memory-swap", "`bytes` of memory and swap together at most; -1 for any amount", memory(func(m *specs.LinuxMemory, n *int64) { m.Swap = n }))
	//lint:ignore SA1019 Kernel is deprecated; a limit is refused by the package cgroups, with the reason.
	flags.Func("kernel-memory", "refused: kernels have no such limit any more", memory(func(m *specs.LinuxMemory, n *int64) { m.Kernel = n }))
	flags.Func("kernel-memory-tcp", "refused: kernels have no such limit any more", memory(func(m *specs.LinuxMemory, n *int64) { m.KernelTCP = n }))
	cpuFlags(flags, r)
	flags.Func("blkio-weight", "`share` of the disks, 10 to 1000", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		if w := uint16(n); err == nil && n != 0 {
			r.BlockIO = &specs.LinuxBlockIO{Weight: &w}
		}
		return err
	})
	flags.Func("pids-limit", "`number` of processes and threads at most; -1 for any", func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && n != 0 {
			r.Pids = &specs.LinuxPids{Limit: &n}
		}
		return err
	})
	for _, name := range []string{"l3-cache-schema", "mem-bw-schema"} {
		flags.Func(name, "refused: the resctrl group (Intel RDT) of a container is set at its creation", func(string) error {
			return errors.New("the resctrl group (Intel RDT) of a container is set at its creation, by linux.intelRdt, and update does not change it: leave it out, or write the schemata file of the group")
		})
	}
	return r
}

// cpuFlags adds the options of linux.resources.cpu.
func cpuFlags(flags *flag.FlagSet, r *specs.LinuxResources) {
	cpu := func(set func(*specs.LinuxCPU, string) error) func(string) error {
		return func(text string) error {
			if r.CPU == nil {
				r.CPU = &specs.LinuxCPU{}
			}
			return set(r.CPU, text)
		}
	}
	natural := func(field func(*specs.LinuxCPU) **uint64) func(string) error {
		return cpu(func(c *specs.LinuxCPU, text string) error {
			n, err := strconv.ParseUint(text, 10, 64)
			*field(c) = &n
			return err
		})
	}
	whole := func(field func(*specs.LinuxCPU) **int64) func(string) error {
		return cpu(func(c *specs.LinuxCPU, text string) error {
			n, err := strconv.ParseInt(text, 10, 64)
			*field(c) = &n
			return err
		})
	}
	flags.Func("cpu-period", "`µs` of a period, of which --cpu-quota may be used", natural(func(c *specs.LinuxCPU) **uint64 { return &c.Period }))
	flags.Func("cpu-quota", "`µs` of processor time in each period; -1 for no limit", whole(func(c *specs.LinuxCPU) **int64 { return &c.Quota }))
	flags.Func("cpu-burst", "`µs` by which a period may exceed the quota with what earlier ones left", natural(func(c *specs.LinuxCPU) **uint64 { return &c.Burst }))
	flags.Func("cpu-share", "`weight` against other groups, usually 1024", natural(func(c *specs.LinuxCPU) **uint64 { return &c.Shares }))
	flags.Func("cpu-rt-period", "`µs` of a period for real-time processes", natural(func(c *specs.LinuxCPU) **uint64 { return &c.RealtimePeriod }))
	flags.Func("cpu-rt-runtime", "`µs` that real-time processes may use of it", whole(func(c *specs.LinuxCPU) **int64 { return &c.RealtimeRuntime }))
	flags.Func("cpu-idle", "`0|1`: with 1 it runs only when nothing else does", whole(func(c *specs.LinuxCPU) **int64 { return &c.Idle }))
	flags.Func("cpuset-cpus", "`list` of processors, as 0-2,7", cpu(func(c *specs.LinuxCPU, text string) error { c.Cpus = text; return nil }))
	flags.Func("cpuset-mems", "`list` of memory nodes", cpu(func(c *specs.LinuxCPU, text string) error { c.Mems = text; return nil }))
}

// size reads bytes with a unit, as 64m; -1 is no limit.
func size(text string) (int64, error) {
	if text == "-1" {
		return -1, nil
	}
	return units.RAMInBytes(text)
}
