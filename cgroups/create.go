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
		calls = append(calls, f.create(needed(r))...)
	}
	return slices.Concat(calls, limits, devices), nil
}

// CreateIn is Create for a group that a unit of systemd gives the container. before makes the folders that systemd leaves
// to us, and comes before the clone; after starts the unit and sets all limits, and comes while the container's process
// waits, as its very first call: a unit is made around a process.
func (g Group) CreateIn(u Unit, id string, r *specs.LinuxResources) (before, after []kernel.Call, err error) {
	if r == nil {
		r = &specs.LinuxResources{}
	}
	scope, err := u.Scope(id, g, r)
	if err != nil {
		return nil, nil, err
	}
	limits, err := g.Limits(r)
	if err != nil {
		return nil, nil, err
	}
	devices, err := g.Devices(r.Devices)
	if err != nil {
		return nil, nil, err
	}
	made, others := g.BySystemd()
	for _, f := range others.Folders {
		before = append(before, f.create(needed(r))...)
	}
	after = append(after, kernel.Call{Request: scope, Why: "the tree of cgroups is systemd's: it makes this one and keeps it"})
	for _, f := range made.Folders {
		after = append(after, f.create(needed(r))...)
	}
	return before, slices.Concat(after, limits, devices), nil
}
