// SPDX-License-Identifier: Apache-2.0

// Package chroot gives a container its root file system: which folder is its "/", what is mounted
// there, and what it can't reach.
//
// [Root] is the configuration; [Root.Calls] plans the kernel calls that make it, in order, for the
// container's process in its own mount namespace:
//
//  1. cut the tie to the host: "/" becomes a slave (or private), or every mount made here would
//     appear on the host, whose "/" systemd makes shared;
//  2. bind the root folder over itself, because pivot_root(2) wants a mount point, and keep it open
//     under the slot "root";
//  3. mount what the container needs below it, make its device nodes and links, mask and protect
//     what of /proc and /sys belongs to the machine;
//  4. [Pivot]: make it "/" and drop the old one. [Chroot] is the weaker, classic call: a process
//     with CAP_SYS_CHROOT walks out of it again, which steps/02-chroot shows.
//
// # A root file system is hostile
//
// An image is somebody else's files: its "proc" may be a symbolic link to "/", its "etc" one to
// "../../etc". So no path of the container is ever resolved as a host path. Each is looked up with
// openat2(2) and RESOLVE_IN_ROOT, which treats the root folder as "/" for symbolic links and "..",
// and is then used through its descriptor (/proc/self/fd/N); missing mount points are made one
// component at a time, each below the descriptor of the one before. A mount point that turns out to
// be the root itself is refused, and so is any symbolic link on the way to a /proc or /sys mount.
//
// # What the host side does
//
// A few mounts need the host's rights: [Root.HostCalls] makes them before the clone, attached nowhere,
// and hands the container's process their descriptors. These are id-mapped mounts ([MakeIDMap],
// [TakeTree]) and a tmpfs that starts with what the image has in its place ([CopyUp]).
//
// A container may have no mount namespace of its own. The host side then mounts its root over itself, and takes that away in the
// end ([HostRoot]); instead of [Pivot] comes [EnterRoot].
//
// # System calls and sources
//
// mount(2), mount_setattr(2) (Linux 5.12), open_tree(2), move_mount(2), fsopen(2), fspick(2) (Linux
// 5.2), openat2(2) (Linux 5.6), pivot_root(2), chroot(2), mknod(2), mount_namespaces(7); OCI runtime
// specification, config.md "Mounts" and config-linux.md "Devices", "Default Devices", "Masked Paths", "Readonly Paths".
//
// Mounts are made with mount(2); the newer calls are used where only they can do it: attributes that
// leave the others alone or apply recursively, and id-mapped mounts. See
// lessons/decisions/0007-mount-calls.md.
//
// Read first: root.go, then lookup.go and mount.go; prepare.go for the host side.
package chroot
