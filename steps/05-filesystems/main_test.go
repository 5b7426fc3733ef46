// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// TestFiles looks at the mounts and files of the command from outside.
func TestFiles(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			before := len(witness.Mounts(t, 0))
			r := begin(t, as(exec.Command(step, "cat")), "cat", false)
			checkMounts(t, witness.Mounts(t, r.pid))
			checkDevice(t, r.pid, "/dev/null", unix.Mkdev(1, 3))
			checkDevice(t, r.pid, "/dev/urandom", unix.Mkdev(1, 9))
			for _, masked := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"} {
				if _, err := os.Stat(masked); err == nil { // this kernel has it
					checkDevice(t, r.pid, masked, unix.Mkdev(1, 3))
				}
			}
			if after := len(witness.Mounts(t, 0)); after != before {
				t.Errorf("the host has %d mounts, and had %d", after, before)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// checkMounts holds the mounts of the command against a list of what must be there.
func checkMounts(t *testing.T, mounts []witness.Mount) {
	t.Helper()
	for _, want := range []struct{ point, kind, option string }{
		{"/proc", "proc", "nosuid"},
		{"/proc/sys", "proc", "ro"},
		{"/dev", "tmpfs", "nosuid"},
		{"/dev/pts", "devpts", "noexec"},
		{"/dev/shm", "tmpfs", "nodev"},
		{"/sys", "sysfs", "ro"},
	} {
		if !slices.ContainsFunc(mounts, func(m witness.Mount) bool {
			return m.Point == want.point && m.Type == want.kind && slices.Contains(strings.Split(m.Options, ","), want.option)
		}) {
			t.Errorf("no %s on %s with %s among %+v", want.kind, want.point, want.option, mounts)
		}
	}
}

// checkDevice looks for a character device at a path of the command's root.
func checkDevice(t *testing.T, pid int, name string, number uint64) {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/root%s", pid, name), &stat); err != nil {
		t.Error(err)
	} else if stat.Mode != unix.S_IFCHR|0o666 || stat.Rdev != number {
		t.Errorf("%s has mode %o and number %#x, want a character device %#x for everybody", name, stat.Mode, stat.Rdev, number)
	}
}

// TestProtected tries from inside to change the machine, and to read what is masked.
func TestProtected(t *testing.T) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			for _, try := range []string{"echo x >/proc/sys/kernel/domainname", "echo h >/proc/sysrq-trigger", "touch /sys/x", "grep -q . /proc/timer_list", "umask | grep -v 0022"} {
				if _, code := finish(t, as(exec.Command(step, "sh", "-c", try))); code == 0 {
					t.Errorf("%s: succeeded", try)
				}
			}
			if _, code := finish(t, as(exec.Command(step, "sh", "-c", "echo x >/dev/null && echo y >/dev/shm/y && exit 3"))); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
		})
	}
}
