// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"stave/cgroups"
)

// act does something with a cgroup that runs, from another process than the one that made it: the kernel knows the cgroup by
// its path. Without an action it does nothing.
func act(do, name string) error {
	group, err := findGroup(name)
	switch {
	case err != nil || do == "":
		return err
	case do == "freeze":
		return group.Freeze()
	case do == "thaw":
		return group.Thaw()
	case do == "stats":
		return report(os.Stdout, group)
	case do == "kill":
		return group.Kill()
	}
	return fmt.Errorf("-do %s: give freeze, thaw, stats or kill", do)
}

// report tells what a cgroup has used.
func report(out io.Writer, group cgroups.Group) error {
	s, err := group.Stats()
	if err != nil {
		return err
	}
	if c := s.CPU; c != nil {
		fmt.Fprintln(out, "Processor time:", nanoseconds(c.Usage))
		if t := c.Throttling; t != nil {
			fmt.Fprintf(out, "Quota used up in %d of %d periods, stood still for %v\n", t.Throttled, t.Periods, nanoseconds(t.Time))
		}
	}
	if p := s.Pids; p != nil && p.Limit != cgroups.Unlimited {
		fmt.Fprintf(out, "Processes and threads: %d of %d\n", p.Current, p.Limit)
	}
	for _, d := range s.IO {
		fmt.Fprintf(out, "Disk %d:%d: %d bytes read, %d written\n", d.Device.Major, d.Device.Minor, d.ReadBytes, d.WriteBytes)
	}
	for _, resource := range slices.Sorted(maps.Keys(s.Pressure)) {
		if p := s.Pressure[resource].Some; p != nil {
			fmt.Fprintf(out, "Pressure: waited for %s %v in all, %.0f %% of the last 10 seconds\n", resource, p.Total, p.Avg10)
		}
	}
	return nil
}

// nanoseconds is a time to print.
func nanoseconds(n uint64) time.Duration { return time.Duration(n).Round(time.Millisecond) }
