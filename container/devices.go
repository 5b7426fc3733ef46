// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"stave/kernel"
	"stave/namespaces"
)

// pointDevices is where the container's process waits for network devices.
const pointDevices = "the network devices"

// netDevices plans linux.netDevices: the container's process waits in its network namespace until they have come.
func (p *planner) netDevices() error {
	devices := p.spec.Linux.NetDevices
	if len(devices) == 0 {
		return nil
	}
	if !p.own(namespaces.Network) {
		return errors.New("linux.netDevices: without a network namespace of the container's own there is nowhere to move them")
	}
	var moves []kernel.Call
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		move := namespaces.MoveDevice{Name: name, NewName: devices[name].Name}
		if move.NewName == "" {
			move.NewName = name
		}
		if err := errors.Join(namespaces.CheckDevice(move.Name, false), namespaces.CheckDevice(move.NewName, true)); err != nil {
			return fmt.Errorf("linux.netDevices: %w", err)
		}
		if other, ok := taken[move.NewName]; ok {
			return fmt.Errorf("linux.netDevices: %s and %s would both be %s", other, name, move.NewName)
		}
		taken[move.NewName] = name
		moves = append(moves, kernel.Call{Request: move, Why: "lent to the container for its life, with the addresses that it has"})
	}
	p.host = append(p.host, kernel.Call{Request: kernel.Await{Point: pointDevices}, Why: "the container's network is there now"})
	p.host = append(p.host, moves...)
	p.host = append(p.host, kernel.Call{Request: kernel.Release{Point: pointDevices}, Why: "all devices are there"})
	p.add(kernel.Wait{Point: pointDevices}, "hooks and the command find the devices in place")
	return nil
}
