// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// protected tries to write to what is the machine's in /proc and /sys, and again after each attempt to take its protection
// away: first with the rights it has, then in a user namespace of its own. It says REACHED for what it could change or read.
func protected() {
	undo()
	again := exec.Command("/proc/self/exe", "undo")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	all := []syscall.SysProcIDMap{{Size: 1}}
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: all, GidMappings: all}
	fmt.Println("own namespace:", again.Run())
	fmt.Println("tried")
}

// reach writes what is there already, and looks for something in what is masked.
func reach(when string) {
	for _, at := range []string{"/proc", "/tmp/p"} {
		for _, file := range []string{"/sysrq-trigger", "/sys/kernel/core_pattern", "/sys/vm/swappiness", "/irq/default_smp_affinity"} {
			text := []byte("h")
			if file != "/sysrq-trigger" {
				text, _ = os.ReadFile(at + file)
			}
			if fd, err := unix.Open(at+file, unix.O_WRONLY, 0); err == nil {
				n, err := unix.Write(fd, text)
				fmt.Println("REACHED", when, at+file, n, err)
				unix.Close(fd)
			}
		}
		for _, file := range []string{"/keys", "/timer_list", "/kcore", "/sched_debug"} {
			if fd, err := unix.Open(at+file, unix.O_RDONLY, 0); err == nil {
				if n, _ := unix.Read(fd, make([]byte, 1)); n > 0 {
					fmt.Println("REACHED", when, at+file)
				}
				unix.Close(fd)
			}
		}
	}
	for _, folder := range []string{"/proc/scsi", "/proc/acpi", "/sys/firmware", "/tmp/s/firmware", "/tmp/p/acpi"} {
		if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 {
			fmt.Println("REACHED", when, folder, entries)
		}
	}
	if os.Mkdir("/sys/fs/cgroup/stave-test-made", 0o755) == nil {
		os.Remove("/sys/fs/cgroup/stave-test-made")
		fmt.Println("REACHED", when, "a cgroup")
	}
}

// undo tries each way to take the protection away.
func undo() {
	reach("at first")
	os.Mkdir("/tmp/p", 0o755)
	os.Mkdir("/tmp/s", 0o755)
	paths := strings.Fields("/proc/sysrq-trigger /proc/sys /proc/irq /proc/bus /proc/fs /proc/keys /proc/kcore /proc/acpi /sys/firmware /sys /proc")
	for name, try := range map[string]func(path string) error{
		"umount":          func(path string) error { return unix.Unmount(path, unix.MNT_DETACH) },
		"remount":         func(path string) error { return unix.Mount("", path, "", unix.MS_REMOUNT, "") },
		"remount of bind": func(path string) error { return unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND, "") },
		"attributes": func(path string) error {
			return unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		},
		"new proc":  func(string) error { return unix.Mount("proc", "/tmp/p", "proc", 0, "") },
		"new sysfs": func(string) error { return unix.Mount("sysfs", "/tmp/s", "sysfs", 0, "") },
		"bind":      func(path string) error { return unix.Mount("/proc", "/tmp/p", "", unix.MS_BIND, "") },
		"tree": func(path string) error {
			fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc", unix.OPEN_TREE_CLONE)
			if err == nil {
				err = unix.MoveMount(fd, "", unix.AT_FDCWD, "/tmp/p", unix.MOVE_MOUNT_F_EMPTY_PATH)
				unix.Close(fd)
			}
			return err
		},
	} {
		for _, path := range paths {
			if err := try(path); err == nil {
				fmt.Println("done:", name, path)
			}
		}
		reach("after " + name)
		unix.Unmount("/tmp/p", unix.MNT_DETACH)
		unix.Unmount("/tmp/s", unix.MNT_DETACH)
	}
}

// ttl prints a parameter of the network that the process is in, as a packet's default shows it, without /proc.
func ttl() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		fmt.Println("ttl", err)
		return
	}
	n, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL)
	fmt.Println("ttl", n)
}
