// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"stave/namespaces"
)

// Processes returns the numbers of the container's processes as the caller sees them, in order: those in its cgroup and in the
// groups below it. For a container without a cgroup they are those in its PID namespace. One that has ended has none.
func (i *Instance) Processes() ([]int, error) {
	if len(i.Cgroup.Folders) > 0 {
		return i.Cgroup.Processes()
	}
	s, err := i.look()
	if err != nil || s.Pid == 0 {
		return nil, err
	}
	if !i.ownProcesses(s.Pid) {
		return nil, i.grouped("tell its processes")
	}
	return processesWith(s.Pid)
}

// processesWith returns the processes in the PID namespace of one of them. Those in a namespace below it are left out.
func processesWith(pid int) ([]int, error) {
	space := func(pid int) (string, error) {
		return os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, namespaces.PID))
	}
	want, err := space(pid)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // no process
		}
		if got, err := space(number); err == nil && got == want { // one that ends meanwhile, or is another user's, is none
			pids = append(pids, number)
		}
	}
	slices.Sort(pids)
	return pids, nil
}
