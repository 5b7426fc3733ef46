// SPDX-License-Identifier: Apache-2.0

package main

import (
	"golang.org/x/sys/unix"
)

// mountPoint is one mount of the guest, see mount(2).
type mountPoint struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// overHost is how the guest mounts a folder of the host. The host's files do not change while the guest runs, so that it
// may cache all of them.
const overHost = "trans=virtio,version=9p2000.L,msize=1048576"

// newRoot is where the guest puts its root together.
const newRoot = "/root"

// hostRoot is where the guest's first process mounts the host's /.
const hostRoot = "/host"

// scratchFolder is where the disk for temporary files is mounted. They are not on the root, since overlayfs takes no overlay
// as its upper layer, and not on a tmpfs, since Linux 6.1 gives that neither id-mapped mounts nor user attributes.
const scratchFolder = "/scratch"

// ownFolder is where a guest with systemd finds this program, its job and the host's /.
const ownFolder = "/run/stave-vm"

// rootMounts make the guest's root of the host's files, with a tmpfs above them that takes what is written.
func rootMounts() []mountPoint {
	return []mountPoint{
		{"host", hostRoot, "9p", unix.MS_RDONLY, overHost + ",cache=loose"},
		{"upper", "/upper", "tmpfs", 0, "size=100%"},
		{"root", newRoot, "overlay", 0, "lowerdir=" + hostRoot + ",upperdir=/upper/data,workdir=/upper/work"},
	}
}

// diskMounts make the guest's root of a disk image. What is mounted on /run before systemd starts stays there.
func diskMounts() []mountPoint {
	return []mountPoint{
		{"/dev/vda", newRoot, "ext4", 0, ""},
		{"run", newRoot + "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"host", newRoot + ownFolder + "/host", "9p", unix.MS_RDONLY, overHost + ",cache=loose"},
		{"/dev/vdb", newRoot + scratchFolder, "ext4", 0, ""},
	}
}

// systemMounts are what an init system mounts, with the options of systemd.
func systemMounts() []mountPoint {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mountPoint{
		{"proc", "/proc", "proc", safe, ""},
		{"dev", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755"},
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"},
		{"shm", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"mqueue", "/dev/mqueue", "mqueue", safe, ""},
		{"sysfs", "/sys", "sysfs", safe, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", safe, "nsdelegate,memory_recursiveprot"},
		{"bpf", "/sys/fs/bpf", "bpf", safe, "mode=700"},
		{"securityfs", "/sys/kernel/security", "securityfs", safe, ""},
		{"run", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"/dev/vda", scratchFolder, "ext4", 0, ""},
	}
}

// shareMount mounts the folder that the host shares at its own path below a root.
func shareMount(root, path string) mountPoint {
	return mountPoint{"share", root + path, "9p", 0, overHost + ",cache=none"}
}

// unit is the service that has the command run under systemd.
const unit = `[Unit]
Description=The command of stave's virtual machine
After=basic.target dbus.service

[Service]
Type=exec
ExecStart=` + ownFolder + "/init " + agentFlag + `
TimeoutStartSec=infinity
`
