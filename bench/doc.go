// SPDX-License-Identifier: Apache-2.0

// Command bench times stave beside the programs that do the same work, and prints one table.
//
//	bench [-rounds N] [-bin FOLDER]
//
// A shared machine has quick and slow minutes. So the programs take turns: each round runs every one
// of them once, and what is compared are medians over all rounds, as ratios. A time goes from before
// the fork to the end of wait4(2), and includes all that the program does for its user: start, making
// the container, running /bin/true in it, taking everything down. Processor times are those of
// wait4(2): the program's own and of the processes that it waited for.
//
// The container is the one that "runc spec" describes, without a terminal, and its root file system
// holds a static busybox. The peers:
//
//   - runc and crun run the same bundle. crun 1.8 refuses the mixed layout of cgroups (v1 hierarchies
//     beside a v2 tree): there it is started inside a mount namespace that shows the v1 hierarchies
//     alone;
//   - unshare (util-linux) makes the same namespaces and nothing else: no mounts, no devices, no
//     limits. It is what the kernel costs;
//   - fork and exec of the same /bin/true is the floor.
//
// The rows "limited" are the same container with limits of memory, swap (where the kernel counts it), processor time,
// processors and processes: what it costs to make its cgroups, to set all that and to remove them. There all runtimes
// are in the namespace of crun, and so make cgroups in the same hierarchies.
//
// The rows "create+start+delete" are the sum of these three commands for a container of /bin/true; between the last two the
// container ends, untimed. The rows "exec" run /bin/true in a container that runs already. At last the memory of the
// process that waits between create and start is looked at.
//
// All three runtimes keep their containers in /run, which is a tmpfs here as on nearly every machine, whatever this one has:
// they are started in a mount namespace that is made once (view_linux.go).
//
// A peer that is not installed, or can't run the bundle, is named and left out. Everything that is
// made lies in one temporary folder, which is removed. It needs root.
//
// Read first: main.go, then table.go.
package main
