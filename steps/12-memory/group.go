// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/kernel"
)

// This file is the same in every step that limits something: it names a cgroup, makes it, puts the command in, and shows
// what the limits are in both versions of cgroups.

// groupPrefix starts the name of every cgroup that a step makes.
const groupPrefix = "stave-step-"

// findGroup returns the cgroup with a name, which may be there or not. Root's lies at the top of each hierarchy, that of
// an ordinary user beside his own, in a part of the v2 tree that was given to him (cgroups(7), "Delegation").
func findGroup(name string) (cgroups.Group, error) {
	layout, err := cgroups.Read()
	if err != nil {
		return cgroups.Group{}, err
	}
	name = groupPrefix + name
	if os.Geteuid() == 0 {
		name = "/" + name
	}
	return layout.Group(name, "")
}

// newGroup is findGroup for a cgroup that is to be made: it has no processes, and folders that the caller may make.
func newGroup(name string) (cgroups.Group, error) {
	group, err := findGroup(name)
	if err == nil {
		group, err = group.Look()
	}
	switch {
	case err != nil || len(group.Folders) > 0:
		return group, err
	case os.Geteuid() == 0:
		return group, fmt.Errorf("no cgroup file system is mounted: mount -t cgroup2 none /sys/fs/cgroup")
	}
	return group, fmt.Errorf("user %d may make no cgroup: none of version 2 is delegated to him; be root, or give the step a part of the tree: systemd-run --user --scope -p Delegate=yes COMMAND", os.Geteuid())
}

// confine puts the calls of a group around those of a container that is in it: first the host makes the group and sets its limits, then
// the process is born in it (version 2), or puts itself into it before it does anything else (version 1).
func confine(group cgroups.Group, r *specs.LinuxResources, host, inside []kernel.Call) (kernel.Program, error) {
	before, err := group.Create(r)
	if err != nil {
		return kernel.Program{}, err
	}
	if os.Geteuid() != 0 { // device rules in version 2 want root of the machine, and an ordinary user has no devices to guard
		before = slices.DeleteFunc(before, func(c kernel.Call) bool {
			_, devices := c.Request.(cgroups.DeviceProgram)
			return devices
		})
	}
	slot, open, entering := group.Enter(kernel.ClonesIntoCgroups())
	host = slices.Clone(host)
	for i, call := range host {
		if clone, ok := call.Request.(kernel.Clone); ok {
			clone.Cgroup = slot
			host[i].Request = clone
		}
	}
	return kernel.Program{Host: slices.Concat(before, open, host), Container: slices.Concat(entering, inside)}, nil
}

// sideBySide prints the limits as this machine's cgroups get them, and as those of the other version would.
func sideBySide(out io.Writer, group cgroups.Group, r *specs.LinuxResources) error {
	here, err := limits(group, r)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "The limits here:\n", strings.Join(here, ""))
	for _, version := range []string{cgroups.V1, cgroups.V2} {
		other, err := cgroups.Sample(version).Group(groupPrefix+"x", "")
		if err != nil {
			return err
		}
		there, err := limits(other, r)
		switch {
		case err != nil: // this version does not have them, and says so
			fmt.Fprintf(out, "With cgroup %s: %v\n", version, err)
		case !slices.Equal(here, there):
			fmt.Fprintf(out, "With cgroup %s:\n%s", version, strings.Join(there, ""))
		}
	}
	return nil
}

// limits lists which value is written to which file.
func limits(group cgroups.Group, r *specs.LinuxResources) ([]string, error) {
	calls, err := group.Limits(r)
	var list []string
	for _, call := range calls {
		value, file, _ := strings.Cut(call.String(), " to ")
		list = append(list, fmt.Sprintf("  %-24s to %s\n", value, path.Base(file)))
	}
	return list, err
}

// size reads a number of bytes, such as 64m: k, m and g are 1024 of the one before. -1 is any number of bytes.
func size(text string) (int64, error) {
	number, shift := text, 0
	if i := strings.IndexAny(text, "kmg"); i >= 0 && i == len(text)-1 {
		number, shift = text[:i], 10*(1+strings.Index("kmg", text[i:]))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < -1 || n == -1 && shift > 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is no size: give bytes, or 64m", text)
	}
	return n << shift, nil
}
