// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// rdma plans linux.resources.rdma, in the order of the devices' names.
func (p *planner) rdma(r *specs.LinuxResources) error {
	for _, device := range slices.Sorted(maps.Keys(r.Rdma)) {
		f, err := p.folder("rdma", "rdma")
		if err != nil {
			return err
		}
		limits := r.Rdma[device]
		if device == "" || strings.ContainsAny(device, " \t\n") {
			return refuse("rdma", strconv.Quote(device), f.File("rdma.max"), "give the name of a device (ls /sys/class/infiniband)")
		}
		line := device
		if limits.HcaHandles != nil {
			line += fmt.Sprintf(" hca_handle=%d", *limits.HcaHandles)
		}
		if limits.HcaObjects != nil {
			line += fmt.Sprintf(" hca_object=%d", *limits.HcaObjects)
		}
		if line == device {
			return refuse("rdma", device, f.File("rdma.max"), "give hcaHandles or hcaObjects")
		}
		p.write(f, "rdma.max", line, "the container may have so many handles and objects of the device")
	}
	return nil
}
