// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
	"stave/security"
)

// This file is the same in every step whose command finds /proc, /dev and /sys.

// files is what the command finds in its root folder besides the files there.
func files(folder string) chroot.Root {
	const safe = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	return chroot.Root{
		Path: folder,
		Mounts: []chroot.MountPoint{
			mount("proc", "/proc", safe, ""),
			mount("tmpfs", "/dev", unix.MS_NOSUID|unix.MS_STRICTATIME, "mode=755,size=64k"),
			mount("devpts", "/dev/pts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"),
			mount("tmpfs", "/dev/shm", safe, "mode=1777,size=16m"),
			mount("sysfs", "/sys", safe|unix.MS_RDONLY, ""),
		},
		Devices:       chroot.DefaultDevices(),
		BindDevices:   os.Geteuid() != 0, // mknod(2) wants root of the machine
		Links:         chroot.DefaultLinks(false),
		Masked:        []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"},
		ReadOnlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
}

// mount is one file system, named as its type.
func mount(kind, target string, flags uintptr, data string) chroot.MountPoint {
	return chroot.MountPoint{Type: kind, Source: kind, Target: target, Options: chroot.Options{Flags: flags, Data: data}}
}

// enter lists the calls that furnish a root folder and make it "/".
func enter(root chroot.Root) []kernel.Call {
	calls := []kernel.Call{{Request: security.Umask{Mask: 0}, Why: "mknod takes the umask from the permissions of a device"}}
	calls = append(calls, root.Calls()...)
	return append(calls,
		kernel.Call{Request: chroot.Pivot{}, Why: "the host's files are not above the root, they are gone"},
		kernel.Call{Request: security.Umask{Mask: 0o022}, Why: "the command's new files are not for everybody to write"})
}
