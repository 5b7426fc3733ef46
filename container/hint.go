// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
)

// explain adds to a failed call what its errno means there, and what to do about it.
func explain(err error) error {
	if killed, ok := errors.AsType[*kernel.KilledError](err); ok && killed.Signal == unix.SIGKILL {
		return fmt.Errorf("%w (a memory limit that leaves no room for the set-up does that)", err)
	}
	var call *kernel.CallError
	if !errors.As(err, &call) {
		return err
	}
	if hint := hintFor(call); hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

// hintFor knows the errors that people meet.
func hintFor(e *kernel.CallError) string {
	if errors.Is(e.Err, unix.ENOSYS) {
		return "this kernel does not have that call; stave doctor shows what it has"
	}
	switch r := e.Call.Request.(type) {
	case kernel.Exec:
		return execHint(r, e.Err)
	case kernel.Find:
		return execHint(kernel.Exec(r), e.Err)
	case kernel.Clone:
		if errors.Is(e.Err, unix.EPERM) {
			return "root, or a user namespace, is needed; stave doctor shows whether users may make them"
		}
		if errors.Is(e.Err, unix.ENOSPC) || errors.Is(e.Err, unix.EUSERS) {
			return "the limit of namespaces is reached: see /proc/sys/user"
		}
		if errors.Is(e.Err, unix.EAGAIN) {
			return "no more processes may be made: see the limit of the container (linux.resources.pids), of the cgroups above it (pids.max) and of the user (ulimit -u)"
		}
	case chroot.Mount, chroot.Bind:
		return mountHint(e.Err)
	case chroot.Folder:
		return "process.cwd must be a folder of the root file system, or one that can be made there"
	case chroot.WorkingDir:
		if errors.Is(e.Err, unix.EXDEV) {
			return "the working directory is outside the root"
		}
		return "process.cwd must be a folder of the root file system that the user may enter"
	case chroot.Mask:
		if errors.Is(e.Err, unix.ENODEV) || errors.Is(e.Err, unix.ELOOP) {
			return "/dev/null of the root file system is not the null device"
		}
	default:
		return cgroupHint(e)
	}
	return ""
}

// execHint says why a command can't be executed.
func execHint(e kernel.Exec, err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Sprintf("%q, or the interpreter or loader it names, is not in the root file system", e.Args[0])
	case errors.Is(err, unix.EACCES):
		return fmt.Sprintf("%q has no execute permission for the user, or is a folder", e.Args[0])
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Sprintf("%q is not in a format that this kernel executes: a script without #!, or another architecture", e.Args[0])
	}
	return ""
}

// mountHint says why something can't be mounted.
func mountHint(err error) string {
	switch {
	case errors.Is(err, unix.ELOOP):
		return "in the root file system the mount point is a symbolic link to the root, or to where none may be"
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EINVAL):
		return "a folder can't be mounted on a file, nor a file on a folder"
	case errors.Is(err, unix.ENODEV):
		return "this kernel does not have that file system; see /proc/filesystems"
	case errors.Is(err, unix.EPERM):
		return "the kernel does not let this user namespace mount it"
	case errors.Is(err, unix.EACCES):
		return "root of the container may not do that there: does the root file system belong to another user? Make the mount point first"
	case errors.Is(err, unix.EROFS):
		return "the mount point is missing in a root file system that is read-only"
	}
	return ""
}
