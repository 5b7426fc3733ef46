// SPDX-License-Identifier: Apache-2.0

// Package namespaces decides whose world a process sees: mount points, process numbers, network,
// users, host name, IPC objects, cgroups and clocks each have a namespace (namespaces(7)).
//
// [Config.Plan] gives the calls of both sides. The common case is one clone(2) with a flag for each
// new namespace. Two things need more:
//
//   - joining a namespace that is there already (setns(2)), and new clock offsets
//     (time_namespaces(7)), change for the PID and time namespace only the children of the caller:
//     the process joins, and then moves on into a child of its own;
//   - a new user namespace maps no ids at first. Somebody outside writes /proc/PID/uid_map and
//     gid_map, so the new process waits for its parent before it becomes root in there. An ordinary
//     user may map only himself, and only after giving up setgroups(2); for more he has the
//     set-user-ID programs newuidmap(1) and newgidmap(1), which obey /etc/subuid and /etc/subgid.
//
// # System calls and sources
//
// clone(2), unshare(2), setns(2), sethostname(2), ioctl(2) with SIOCSIFFLAGS (netdevice(7)),
// user_namespaces(7), pid_namespaces(7), time_namespaces(7), newuidmap(1); OCI config-linux.md
// "Namespaces" and "User namespace mappings".
//
// A namespace kept without a process is a bind mount of its file, see [Keep]. [MoveDevice] lends a network device to a
// network namespace (rtnetlink(7), config-linux.md "Network Devices").
//
// Left out: network devices are made and given addresses by package netstack.
//
// Read first: config.go.
package namespaces
