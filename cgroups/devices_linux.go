// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// programName tells our programs from those of others, which stay: systemd has some for its units, and the kernel
// allows only what all of them allow.
const programName = "stave_devices"

// attach gives a v2 folder a program for the rules, and then takes away those of ours that it had. In between both
// decide, so at no time is more allowed than either does.
func attach(folder string, rules []DeviceRule) error {
	code, err := machineCode(rules)
	if err != nil {
		return err
	}
	cgroup, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(cgroup)
	old, err := kernel.QueryBPF(cgroup, unix.BPF_CGROUP_DEVICE, programName)
	if err != nil {
		return explained(folder, err)
	}
	for _, fd := range old {
		defer unix.Close(fd)
	}
	fd, err := kernel.LoadBPF(unix.BPF_PROG_TYPE_CGROUP_DEVICE, programName, code)
	if err != nil {
		return explained(folder, err)
	}
	defer unix.Close(fd)
	if err := kernel.AttachBPF(cgroup, fd, unix.BPF_CGROUP_DEVICE); err != nil {
		return explained(folder, fmt.Errorf("attach: %w", err))
	}
	for _, previous := range old {
		if err := kernel.DetachBPF(cgroup, previous, unix.BPF_CGROUP_DEVICE); err != nil {
			return fmt.Errorf("device program of %s: the new one is attached, but the old one can't be detached: %w", folder, err)
		}
	}
	return nil
}

// explained adds to an error of bpf(2) the folder and what can be done.
func explained(folder string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EPERM):
		hint = ": programs on devices need the CAP_SYS_ADMIN of the machine itself, not of a user namespace, and a cgroup above whose own program allows others beside it"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		hint = ": the kernel needs CONFIG_CGROUP_BPF, and to be Linux 4.15 or later"
	case errors.Is(err, unix.E2BIG):
		hint = ": too many rules, or too many programs are attached"
	}
	return fmt.Errorf("device program of %s: %w%s", folder, err, hint)
}
