// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"math"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
)

// Limits are what a person allows a container to use, as docker run has it. The zero value limits nothing.
type Limits struct {
	// Memory, MemorySwap and MemoryReservation are in bytes, 0 for none. MemorySwap is memory and swap together, -1 for any
	// amount of swap; without it a limited container may swap as much again as its memory.
	Memory, MemorySwap, MemoryReservation int64
	// Swappiness is from 0 to 100, nil for the machine's.
	Swappiness *uint64
	// OOMKillDisable lets processes wait at the memory limit instead of being killed (version 1 only).
	OOMKillDisable bool
	// OOMScoreAdj is from -1000 to 1000, nil for the caller's.
	OOMScoreAdj *int
	// CPUs is how many processors' time the container gets, 0 for all; Quota of Period, in microseconds, says the same.
	CPUs   float64
	Shares uint64
	Quota  int64
	Period uint64
	// CpusetCPUs and CpusetMems are lists like 0-2,4 of processors and memory nodes.
	CpusetCPUs, CpusetMems string
	// Pids is how many processes and threads there may be; 0 and -1 limit nothing.
	Pids int64
	// BlkioWeight is from 10 to 1000, 0 for the default.
	BlkioWeight uint16
	// ReadBps and WriteBps limit devices to bytes a second.
	ReadBps, WriteBps []DeviceRate
	// Devices are devices of the host that the container may use.
	Devices []Device
	// CgroupParent is the cgroup in which the container's own is made.
	CgroupParent string
}

// DeviceRate is a limit of bytes a second for the device in a file.
type DeviceRate struct {
	Path string
	Rate uint64
}

// Device lends a device of the host to a container.
type Device struct {
	// Host is its file on the host, Inside where the container finds it, Access of the letters r, w and m (read, write, mknod)
	// what it may do with it.
	Host, Inside, Access string
}

// limits fills in the cgroup of a container: what may be used, and which devices. On a machine without cgroups a
// container without limits gets none.
func (s Settings) limits(spec *specs.Spec, layout cgroups.Layout) error {
	l, r := s.Limits, &specs.LinuxResources{}
	if layout.Kind() != cgroups.None {
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
		spec.Linux.CgroupsPath = s.cgroupsPath()
	}
	var err error
	if r.Memory, err = l.memory(countsSwap(layout)); err != nil {
		return err
	}
	if r.CPU, err = l.cpu(); err != nil {
		return err
	}
	if l.Pids != 0 && l.Pids != -1 {
		r.Pids = &specs.LinuxPids{Limit: &l.Pids}
	}
	if r.BlockIO, err = l.blockIO(); err != nil {
		return err
	}
	spec.Process.OOMScoreAdj = l.OOMScoreAdj
	for _, d := range l.Devices {
		device, err := lookAtDevice(d)
		if err != nil {
			return err
		}
		spec.Linux.Devices = append(spec.Linux.Devices, device)
		r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: device.Type, Major: &device.Major, Minor: &device.Minor, Access: d.Access,
		})
	}
	spec.Linux.Resources = r
	return nil
}

// memory returns linux.resources.memory, nil for no limit. swap says that the machine counts swap.
func (l Limits) memory(swap bool) (*specs.LinuxMemory, error) {
	if l.Memory == 0 && l.MemorySwap == 0 && l.MemoryReservation == 0 && l.Swappiness == nil && !l.OOMKillDisable {
		return nil, nil
	}
	m := &specs.LinuxMemory{Swappiness: l.Swappiness}
	if l.Memory != 0 {
		m.Limit = &l.Memory
		if both := 2 * l.Memory; swap && both > 0 {
			m.Swap = &both
		}
	}
	if l.MemorySwap != 0 {
		if l.Memory == 0 {
			return nil, fmt.Errorf("--memory-swap is memory and swap together: give --memory too")
		}
		m.Swap = &l.MemorySwap
	}
	if l.MemoryReservation != 0 {
		m.Reservation = &l.MemoryReservation
	}
	if l.OOMKillDisable {
		if l.Memory == 0 {
			return nil, fmt.Errorf("--oom-kill-disable without --memory would stop the machine instead of the container: give --memory too")
		}
		m.DisableOOMKiller = &l.OOMKillDisable
	}
	return m, nil
}

// cpu returns linux.resources.cpu, nil for no limit.
func (l Limits) cpu() (*specs.LinuxCPU, error) {
	const period = 100_000 // microseconds; the kernel's default (sched-bwc)
	if l.CPUs != 0 {
		if l.Quota != 0 || l.Period != 0 {
			return nil, fmt.Errorf("--cpus is another way to say --cpu-quota and --cpu-period: give one of them")
		}
		if l.CPUs < 0.01 || math.IsNaN(l.CPUs) || l.CPUs > 1<<20 {
			return nil, fmt.Errorf("--cpus %v: a number of processors from 0.01", l.CPUs)
		}
		l.Quota, l.Period = int64(math.Round(l.CPUs*period)), period
	}
	if l.Quota == 0 && l.Period == 0 && l.Shares == 0 && l.CpusetCPUs == "" && l.CpusetMems == "" {
		return nil, nil
	}
	c := &specs.LinuxCPU{Cpus: l.CpusetCPUs, Mems: l.CpusetMems}
	if l.Quota != 0 {
		c.Quota = &l.Quota
	}
	if l.Period != 0 {
		c.Period = &l.Period
	}
	if l.Shares != 0 {
		c.Shares = &l.Shares
	}
	return c, nil
}

// blockIO returns linux.resources.blockIO, nil for no limit.
func (l Limits) blockIO() (*specs.LinuxBlockIO, error) {
	if l.BlkioWeight == 0 && len(l.ReadBps) == 0 && len(l.WriteBps) == 0 {
		return nil, nil
	}
	b := &specs.LinuxBlockIO{}
	if l.BlkioWeight != 0 {
		b.Weight = &l.BlkioWeight
	}
	for _, list := range []struct {
		rates []DeviceRate
		into  *[]specs.LinuxThrottleDevice
	}{{l.ReadBps, &b.ThrottleReadBpsDevice}, {l.WriteBps, &b.ThrottleWriteBpsDevice}} {
		for _, d := range list.rates {
			kind, major, minor, err := deviceNumber(d.Path)
			if err != nil {
				return nil, err
			}
			if kind != "b" {
				return nil, fmt.Errorf("%s is not a block device: only those have a rate", d.Path)
			}
			throttle := specs.LinuxThrottleDevice{Rate: d.Rate}
			throttle.Major, throttle.Minor = major, minor
			*list.into = append(*list.into, throttle)
		}
	}
	return b, nil
}
