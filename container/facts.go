// SPDX-License-Identifier: Apache-2.0

package container

import (
	"stave/cgroups"
	"stave/chroot"
	"stave/security"
)

// Facts are what the plan needs to know about this machine and this configuration's files.
// [ReadFacts] looks; tests make them up.
type Facts struct {
	Security security.Facts
	// UID is the effective user of the caller, 0 for root.
	UID int
	// Root says that the caller is root of the machine, and not of a user namespace only.
	Root bool
	// IsFile tells of each bind source whether it is not a folder.
	IsFile map[string]bool
	// Ours tells of each namespace file that is joined whether the caller is in that namespace.
	Ours map[string]bool
	// Cgroups are the cgroup hierarchies of the machine, as the caller sees them.
	Cgroups cgroups.Layout
	// Group is the container's cgroup: none at all for a user who may make none.
	Group cgroups.Group
	// Unit is the unit of systemd that the group is of, if it is one.
	Unit cgroups.Unit
	// Born says that the kernel can clone into a cgroup of version 2.
	Born bool
	// SharedParent is the mount point that the root folder lies in, where that mount is shared, or where
	// linux.rootfsPropagation would make it shared or unbindable.
	SharedParent string
	// Kcore says that the kernel has /proc/kcore.
	Kcore bool
	// OwnStdio lists those of the descriptors 0, 1, 2 that are pipes or sockets.
	OwnStdio []int
	// Home is the home folder of the command's user, "" where the configuration sets HOME.
	Home string
	// Modes are the permissions of the root's own folders on which a tmpfs comes, by destination.
	Modes map[string]uint32
	// Resctrl is what there is of resctrl, for a configuration that asks for it, and RdtLeft are the folders in it that go
	// with the container.
	Resctrl Resctrl
	RdtLeft []string
	// HostRoot is the root of a container without a mount namespace.
	HostRoot chroot.HostRoot
	// HasHelpers says that newuidmap and newgidmap can be found.
	HasHelpers bool
}
