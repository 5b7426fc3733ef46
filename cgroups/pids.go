// SPDX-License-Identifier: Apache-2.0

package cgroups

import "github.com/opencontainers/runtime-spec/specs-go"

// mostPids is the greatest limit that the kernel takes (kernel/cgroup/pids.c: PIDS_MAX, on machines of 64 bits).
const mostPids = 4 << 20

// pids plans linux.resources.pids. A limit of 0 is one as well (config-linux.md, "PIDs"): nothing in the container may fork,
// just as with 1. That is what is written, since not even the container's first process could be cloned into a group with 0,
// and systemd takes none either.
func (p *planner) pids(r *specs.LinuxResources) error {
	if r.Pids == nil || r.Pids.Limit == nil {
		return nil
	}
	f, err := p.folder("pids", "pids")
	if err != nil {
		return err
	}
	limit := *r.Pids.Limit
	if limit < -1 || limit > mostPids {
		return refuse("pids.limit", limit, f.File("pids.max"), "give 0 to 4194304, or -1 for no limit")
	}
	if limit == 0 {
		limit = 1
	}
	p.write(f, "pids.max", amount(2, limit), "fork(2) fails when the container has so many processes and threads")
	return nil
}
