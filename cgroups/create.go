// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Create returns the host calls that make the group's folders and set its limits (linux.resources, which may be nil).
// They come before the clone: a process never lives in a group that is half made. When a later call fails, the
// folders are removed again.
func (g Group) Create(r *specs.LinuxResources) ([]kernel.Call, error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	limits, err := g.Limits(r)
	if err != nil {
		return nil, err
	}
	devices, err := g.Devices(r.Devices)
	if err != nil {
		return nil, err
	}
	var calls []kernel.Call
	for _, f := range g.Folders {
		calls = append(calls, f.create(needed(r), len(g.Folders) == 1)...)
	}
	return slices.Concat(calls, limits, devices), nil
}
