// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// network plans linux.resources.network, which only version 1 has.
func (p *planner) network(r *specs.LinuxResources) error {
	n := r.Network
	if n == nil {
		return nil
	}
	if n.ClassID != nil {
		f, err := p.folder("network.classID", "net_cls")
		if err != nil {
			return err
		}
		p.write(f, "net_cls.classid", strconv.FormatUint(uint64(*n.ClassID), 10), "tc(8) knows the container's packets by this class")
	}
	for i, priority := range n.Priorities {
		field := fmt.Sprintf("network.priorities[%d]", i)
		f, err := p.folder(field, "net_prio")
		if err != nil {
			return err
		}
		if priority.Name == "" || len(priority.Name) > 15 || strings.ContainsAny(priority.Name, "/ \t\n") {
			return refuse(field+".name", strconv.Quote(priority.Name), f.File("net_prio.ifpriomap"), "give the name of a network interface (ip link)")
		}
		p.write(f, "net_prio.ifpriomap", fmt.Sprintf("%s %d", priority.Name, priority.Priority),
			"what the container sends through this interface has this priority")
	}
	return nil
}
