// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody is the user and group that has no rights: the kernel's overflow identity.
const nobody = 65534

// lackCommand looks for a program in PATH.
func lackCommand(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return "not in PATH"
	}
	return ""
}

// lackUserNamespaces lets unshare(1) make a user namespace, as nobody if this process is root: root may always, so
// that would prove nothing.
func lackUserNamespaces() string {
	unshare := exec.Command("unshare", "--user", "--map-root-user", "true")
	unshare.Dir = "/"
	if os.Geteuid() == 0 {
		unshare.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if output, err := unshare.CombinedOutput(); err != nil {
		return strings.TrimSpace(fmt.Sprintf("%v %s", err, output))
	}
	return ""
}

// lackController looks for a cgroup controller among the mounted hierarchies.
func lackController(version, name string) (string, error) {
	mounts, err := mountsOf(0)
	if err != nil {
		return "", err
	}
	if slices.Contains(controllers(mounts, version, os.ReadFile), name) {
		return "", nil
	}
	return "no mounted hierarchy has it", nil
}

// controllers are those of all mounted hierarchies of a version: "cgroup1" has one or more for each mount, among its
// options; "cgroup2" lists them in a file.
func controllers(mounts []Mount, version string, read func(string) ([]byte, error)) []string {
	var names []string
	for _, m := range mounts {
		switch {
		case version == "cgroup1" && m.Type == "cgroup":
			names = append(names, strings.Split(m.Super, ",")...)
		case version == "cgroup2" && m.Type == "cgroup2":
			text, _ := read(m.Point + "/cgroup.controllers") // unreadable means none
			names = append(names, strings.Fields(string(text))...)
		}
	}
	return names
}

// lackModule looks for a security module among the active ones.
func lackModule(name string) string {
	active, err := os.ReadFile("/sys/kernel/security/lsm")
	if err == nil && slices.Contains(strings.Split(strings.TrimSpace(string(active)), ","), name) {
		return ""
	}
	enabled, err := os.ReadFile("/sys/module/" + name + "/parameters/enabled")
	if err == nil && strings.HasPrefix(string(enabled), "Y") {
		return ""
	}
	return "the kernel has it not, or has it off"
}

// lackFile gives a reason if a file is not there.
func lackFile(path, reason string) string {
	if _, err := os.Stat(path); err != nil {
		return reason
	}
	return ""
}

// lackSystemd looks for the folder by which systemd tells that it started the machine (sd_booted(3)).
func lackSystemd(user int, folder string) string {
	if user != 0 {
		return fmt.Sprintf("runs as user %d", user)
	}
	return lackFile(folder, "systemd did not start this machine")
}

// lackFileSystem looks for a file system that the kernel has loaded, or can load.
func lackFileSystem(name string) (string, error) {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return "", err
	}
	if slices.Contains(strings.Fields(string(known)), name) || exec.Command("modprobe", "-n", "-q", name).Run() == nil {
		return "", nil
	}
	return "not in /proc/filesystems", nil
}

// lackCall tries a system call with arguments that no call accepts: only one that is missing, or kept from us by a
// seccomp filter, says ENOSYS.
func lackCall(name string) (string, error) {
	number, known := callNumber(name)
	if !known {
		return "", fmt.Errorf("unknown need %q", "kernel:"+name)
	}
	never := ^uintptr(0)
	_, _, errno := unix.Syscall6(number, never, 0, never, 0, 0, 0)
	if errno == unix.ENOSYS || errno == unix.EOPNOTSUPP { // the second: Landlock is compiled in, but off
		return "the system call is not there", nil
	}
	return "", nil
}

// callNumber is the number of a system call that lackCall can try harmlessly.
func callNumber(name string) (uintptr, bool) {
	switch name {
	case "close_range":
		return unix.SYS_CLOSE_RANGE, true // first above last: EINVAL
	case "clone3":
		return unix.SYS_CLONE3, true // a struct of size 0: EINVAL
	case "fsopen":
		return unix.SYS_FSOPEN, true
	case "landlock_create_ruleset":
		return unix.SYS_LANDLOCK_CREATE_RULESET, true
	case "mount_setattr":
		return unix.SYS_MOUNT_SETATTR, true
	case "move_mount":
		return unix.SYS_MOVE_MOUNT, true
	case "openat2":
		return unix.SYS_OPENAT2, true
	case "pidfd_open":
		return unix.SYS_PIDFD_OPEN, true
	}
	return 0, false
}
