// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"strings"

	"stave/kernel"
)

// Read finds the layout of this machine in /proc/self/mountinfo, /proc/self/cgroup and the controllers of the
// v2 tree, as this process sees them.
func Read() (Layout, error) {
	mountinfo, err := kernel.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, err
	}
	cgroup, err := kernel.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Layout{}, err
	}
	l := parse(string(mountinfo), string(cgroup))
	for i, h := range l.Hierarchies {
		if h.Version != 2 {
			continue
		}
		controllers, err := kernel.ReadFile(h.Mount + "/cgroup.controllers")
		if err != nil {
			return Layout{}, err
		}
		l.Hierarchies[i].Controllers = strings.Fields(string(controllers))
	}
	return l, nil
}
