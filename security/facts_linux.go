// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// ReadFacts looks at the running kernel. SetgroupsDenied is that of the calling process's user namespace; a container with a
// user namespace of its own has another, which whoever writes its maps knows.
func ReadFacts() (Facts, error) {
	var f Facts
	text, err := kernel.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return f, err
	}
	if f.LastCapability, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return f, fmt.Errorf("/proc/sys/kernel/cap_last_cap: %w", err)
	}
	if f.Missing, err = missing(f.LastCapability); err != nil {
		return f, err
	}
	f.SetgroupsDenied = first("/proc/self/setgroups") == "deny"
	if list := first("/sys/kernel/security/lsm"); list != "" {
		modules := strings.Split(list, ",")
		f.AppArmor, f.SELinux = slices.Contains(modules, "apparmor"), slices.Contains(modules, "selinux")
	} else { // securityfs is not mounted
		f.AppArmor = first("/sys/module/apparmor/parameters/enabled") == "Y"
		f.SELinux = exists("/sys/fs/selinux/enforce")
	}
	f.AppArmorFolder = f.AppArmor && exists("/proc/self/attr/apparmor")
	return f, nil
}

// first returns the contents of a small file of the kernel's without its line end. A file that is not there is empty: the
// kernel lacks what it tells of.
func first(path string) string {
	text, _ := kernel.ReadFile(path)
	return strings.TrimSpace(string(text))
}

// exists reports whether a path is there.
func exists(path string) bool {
	return unix.Access(path, unix.F_OK) == nil
}

// missing reads which capabilities up to the last the caller can't give to others: those that are not permitted to it, or
// not in its bounding set (proc_pid_status(5)).
//
//	CapPrm:	000001ffffffffff
func missing(last int) (Set, error) {
	text, err := kernel.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	held := all(last)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "CapPrm" && name != "CapBnd" {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/self/status: %w", err)
		}
		held &= Set(set)
	}
	return all(last) &^ held, nil
}
