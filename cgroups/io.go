// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// noWeights says why weights have no file, or not for a disk.
const noWeights = "only the I/O scheduler bfq has weights (/sys/block/*/queue/scheduler), and in version 2 a disk that io.cost.qos turns them on for: choose one, or leave the weights of linux.resources.blockIO out"

// noLeaves says why a kernel has no leaf weights.
const noLeaves = "leaf weights went with the CFQ scheduler in Linux 5.0: leave them out"

// blockIO plans linux.resources.blockIO.
func (p *planner) blockIO(r *specs.LinuxResources) error {
	b := r.BlockIO
	if b == nil {
		return nil
	}
	weighs := set(b.Weight) || set(b.LeafWeight) || len(b.WeightDevice) > 0
	rates := len(b.ThrottleReadBpsDevice) + len(b.ThrottleWriteBpsDevice) + len(b.ThrottleReadIOPSDevice) + len(b.ThrottleWriteIOPSDevice)
	if !weighs && rates == 0 {
		return nil
	}
	f, err := p.folder("blockIO", "blkio")
	if err != nil {
		return err
	}
	if err := p.weights(f, "", "blockIO", b.Weight, b.LeafWeight); err != nil {
		return err
	}
	for i, d := range b.WeightDevice {
		field := fmt.Sprintf("blockIO.weightDevice[%d]", i)
		if d.Weight == nil && d.LeafWeight == nil {
			return refuse(field, "nothing", f.Path, "give weight or leafWeight")
		}
		device, err := disk(field, f, d.LinuxBlockIODevice)
		if err != nil {
			return err
		}
		if err := p.weights(f, device, field, d.Weight, d.LeafWeight); err != nil {
			return err
		}
	}
	return p.throttles(f, b)
}

// weights plans the weights for one device ("8:0"), or for all others ("").
func (p *planner) weights(f Folder, device, field string, weight, leaf *uint16) error {
	suffix := ""
	if device != "" {
		suffix, device = "_device", device+" "
	}
	for i, w := range []*uint16{weight, leaf} {
		if set(w) && (*w < 10 || *w > 1000) {
			return refuse(field+"."+[]string{"weight", "leafWeight"}[i], *w, f.Path, "give 10 to 1000")
		}
	}
	if set(leaf) {
		if f.Version == 2 {
			return refuse(field+".leafWeight", *leaf, f.Path, noLeaves)
		}
		p.optional(f, "blkio.leaf_weight"+suffix, fmt.Sprint(device, *leaf),
			"the processes of this very group get time of the disk in this proportion", noLeaves)
	}
	if !set(weight) {
		return nil
	}
	same := fmt.Sprint(device, *weight)
	why := "when a disk is busy, groups get time of it in this proportion"
	if f.Version == 1 {
		p.add(why, either{[]kernel.WriteFile{
			{Path: f.File("blkio.weight" + suffix), Data: same}, {Path: f.File("blkio.bfq.weight" + suffix), Data: same},
		}, noWeights})
		return nil
	}
	// Which of the two files counts is the disk's matter: a kernel that has both gets both, one that has one gets it twice.
	cost := kernel.WriteFile{Path: f.File("io.weight"), Data: fmt.Sprint(device, ioWeight(*weight))}
	bfq := kernel.WriteFile{Path: f.File("io.bfq.weight"), Data: same}
	p.add(why+", where io.cost.qos is on for it", either{[]kernel.WriteFile{cost, bfq}, noWeights})
	p.add(why+", where its scheduler is bfq", either{[]kernel.WriteFile{bfq, cost}, noWeights})
	return nil
}

// throttles plans the rates. In version 1 a rate of 0 takes the limit away, which version 2 calls max.
func (p *planner) throttles(f Folder, b *specs.LinuxBlockIO) error {
	for _, t := range []struct {
		field, v1, v2, why string
		devices            []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", "read_bps", "rbps", "bytes that the container reads from the disk in a second", b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", "write_bps", "wbps", "bytes that the container writes to the disk in a second", b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", "read_iops", "riops", "times that the container reads from the disk in a second", b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", "write_iops", "wiops", "times that the container writes to the disk in a second", b.ThrottleWriteIOPSDevice},
	} {
		for i, d := range t.devices {
			device, err := disk(fmt.Sprintf("blockIO.%s[%d]", t.field, i), f, d.LinuxBlockIODevice)
			if err != nil {
				return err
			}
			file, rate := "blkio.throttle."+t.v1+"_device", strconv.FormatUint(d.Rate, 10)
			if f.Version == 2 {
				if d.Rate == 0 {
					rate = "max"
				}
				file, rate = "io.max", t.v2+"="+rate
			}
			p.optional(f, file, device+" "+rate, t.why,
				"the kernel is built without CONFIG_BLK_DEV_THROTTLING: leave out linux.resources.blockIO."+t.field)
		}
	}
	return nil
}

// disk writes a device as the kernel does: "8:0".
func disk(field string, f Folder, d specs.LinuxBlockIODevice) (string, error) {
	if d.Major < 0 || d.Minor < 0 {
		return "", refuse(field, fmt.Sprintf("%d:%d", d.Major, d.Minor), f.Path, "give the numbers of a disk, as ls -l /dev shows them")
	}
	return fmt.Sprintf("%d:%d", d.Major, d.Minor), nil
}
