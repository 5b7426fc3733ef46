// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"stave/container"
)

// limitFlags are the options that say how much a container may use, with the names and values of docker run.
func limitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "memory", Aliases: []string{"m"}, Usage: "memory `limit` in bytes, or with k, m, g"},
		&cli.StringFlag{Name: "memory-swap", Usage: "memory and swap together; -1 for any amount of swap (twice the memory otherwise), a `limit` like that of --memory"},
		&cli.StringFlag{Name: "memory-reservation", Usage: "memory that is left to the container when the machine runs short, a `size` like that of --memory"},
		&cli.Uint64Flag{Name: "memory-swappiness", Usage: "how readily the container is swapped out, `0 to 100` (cgroup v1 only)"},
		&cli.BoolFlag{Name: "oom-kill-disable", Usage: "processes wait at the memory limit instead of being killed (cgroup v1 only)", DisableDefaultText: true},
		&cli.IntFlag{Name: "oom-score-adj", Usage: "whom the kernel kills first when the machine runs out of memory, `-1000 to 1000`"},
		&cli.Float64Flag{Name: "cpus", Usage: "how many processors' time, `N` like 0.5"},
		&cli.Uint64Flag{Name: "cpu-shares", Usage: "share of the processors when there are not enough, relative to other containers; a container without it has `1024`"},
		&cli.Int64Flag{Name: "cpu-quota", Usage: "processor time in each period, in `microseconds`"},
		&cli.Uint64Flag{Name: "cpu-period", Usage: "length of the period, in `microseconds`"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "the processors to run on, a `list` like 0-2,4"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "the memory nodes to use, a `list` like 0-1"},
		&cli.Int64Flag{Name: "pids-limit", Usage: "how many processes and threads there may be, `N`; -1 for any number"},
		&cli.UintFlag{Name: "blkio-weight", Usage: "share of the disks' time relative to other containers, `10 to 1000`"},
		&cli.StringSliceFlag{Name: "device-read-bps", Usage: "limit reading from a block device, `DEVICE:RATE` in bytes a second, like /dev/sda:1m", KeepSpace: true},
		&cli.StringSliceFlag{Name: "device-write-bps", Usage: "limit writing to a block device, `DEVICE:RATE`", KeepSpace: true},
		&cli.StringSliceFlag{Name: "device", Usage: "lend a device of the host, `DEVICE[:INSIDE[:rwm]]`", KeepSpace: true},
		&cli.StringFlag{Name: "cgroup-parent", Usage: "the `cgroup` in which the container's own is made"},
	}
}

// limits reads the options.
func limits(c *cli.Context) (container.Limits, error) {
	l := container.Limits{
		OOMKillDisable: c.Bool("oom-kill-disable"), CPUs: c.Float64("cpus"), Shares: c.Uint64("cpu-shares"),
		Quota: c.Int64("cpu-quota"), Period: c.Uint64("cpu-period"), CpusetCPUs: c.String("cpuset-cpus"),
		CpusetMems: c.String("cpuset-mems"), Pids: c.Int64("pids-limit"), CgroupParent: c.String("cgroup-parent"),
	}
	if c.IsSet("memory-swappiness") {
		l.Swappiness = new(c.Uint64("memory-swappiness"))
	}
	if c.IsSet("oom-score-adj") {
		l.OOMScoreAdj = new(c.Int("oom-score-adj"))
	}
	if c.IsSet("cpus") && l.CPUs == 0 {
		return l, fmt.Errorf("--cpus 0: a number of processors from 0.01")
	}
	if l.Pids < -1 {
		return l, fmt.Errorf("--pids-limit %d: a number of processes, or -1 for any", l.Pids)
	}
	if l.BlkioWeight = uint16(c.Uint("blkio-weight")); uint(l.BlkioWeight) != c.Uint("blkio-weight") {
		return l, fmt.Errorf("--blkio-weight %d: from 10 to 1000", c.Uint("blkio-weight"))
	}
	var err error
	for _, size := range []struct {
		name string
		into *int64
	}{{"memory", &l.Memory}, {"memory-swap", &l.MemorySwap}, {"memory-reservation", &l.MemoryReservation}} {
		if *size.into, err = sizeOption(c, size.name); err != nil {
			return l, err
		}
	}
	if l.ReadBps, err = rates(c, "device-read-bps"); err != nil {
		return l, err
	}
	if l.WriteBps, err = rates(c, "device-write-bps"); err != nil {
		return l, err
	}
	l.Devices, err = devices(c.StringSlice("device"))
	return l, err
}

// sizeOption reads a number of bytes: 67108864, 65536k, 64m, 64MiB. Only --memory-swap may be -1.
func sizeOption(c *cli.Context, name string) (int64, error) {
	text := c.String(name)
	if !c.IsSet(name) || name == "memory-swap" && text == "-1" {
		return map[bool]int64{true: -1}[text == "-1"], nil
	}
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 || n == math.MaxInt64 {
		return 0, fmt.Errorf("--%s %q: a number of bytes above 0, like 67108864, 64m or 1.5g", name, text)
	}
	return n, nil
}

// rates reads DEVICE:RATE.
func rates(c *cli.Context, name string) ([]container.DeviceRate, error) {
	var list []container.DeviceRate
	for _, text := range c.StringSlice(name) {
		at := strings.LastIndexByte(text, ':')
		if at <= 0 {
			return nil, fmt.Errorf("--%s %q: DEVICE:RATE, like /dev/sda:1m", name, text)
		}
		n, err := units.RAMInBytes(text[at+1:])
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("--%s %q: %q is not a number of bytes a second, like 1048576 or 1m", name, text, text[at+1:])
		}
		list = append(list, container.DeviceRate{Path: text[:at], Rate: uint64(n)})
	}
	return list, nil
}

// devices reads DEVICE[:INSIDE[:ACCESS]]; DEVICE:ACCESS is possible too, as a path starts with a slash.
func devices(texts []string) ([]container.Device, error) {
	var list []container.Device
	for _, text := range texts {
		parts := strings.Split(text, ":")
		d := container.Device{Host: parts[0], Inside: parts[0], Access: "rwm"}
		switch {
		case len(parts) == 2 && !strings.HasPrefix(parts[1], "/"):
			d.Access = parts[1]
		case len(parts) == 2:
			d.Inside = parts[1]
		case len(parts) == 3:
			d.Inside, d.Access = parts[1], parts[2]
		}
		bad := len(parts) > 3 || !path.IsAbs(d.Host) || !path.IsAbs(d.Inside) || d.Access == "" || strings.Trim(d.Access, "rwm") != ""
		if bad {
			return nil, fmt.Errorf("--device %q: DEVICE[:INSIDE[:ACCESS]] with absolute paths, ACCESS of the letters r, w and m, like /dev/fuse:/dev/fuse:rwm", text)
		}
		list = append(list, d)
	}
	return list, nil
}
