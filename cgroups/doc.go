// SPDX-License-Identifier: Apache-2.0

// Package cgroups says how much a container may use: memory, processor, processes, disk, devices.
//
// A control group is a folder of processes in a tree of such folders (cgroups(7)). The kernel has two kinds of
// trees. In version 1 each controller (memory, cpu, pids …) may have a tree of its own, and a process is in one
// folder of each; version 2 has one tree for all controllers, in which a folder either holds processes or
// gives controllers to the folders below it (Documentation/admin-guide/cgroup-v2.rst). A machine has either
// kind, or both at once with the controllers divided among them: [Read] looks, [Layout] is the answer, and
// nothing else in the package asks which kind it is but by it.
//
//   - [Layout.Group] turns a container's cgroupsPath into a [Group]: one folder in every tree.
//   - [Group.Create] plans the calls that make the folders and set the limits, before the container exists.
//   - [Group.Enter] plans how its first process gets in: born there by clone3(2) with CLONE_INTO_CGROUP in version
//     2, or by writing itself into each tree as its very first calls in version 1. Nothing of the container
//     ever runs without its limits.
//   - [Group.Freeze], [Group.Kill], [Group.Stats], [Group.Update] and [Group.Remove] act on the living one.
//
// Start to read in layout.go, then group.go and make.go. limits.go goes through linux.resources, with a file for each
// controller; devices.go is what version 2 has no file for, and systemd.go lets systemd make the group.
package cgroups
