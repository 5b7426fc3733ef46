// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// seals make the contents of a memfd final (memfd_create(2), fcntl(2) F_ADD_SEALS).
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Sealed reports whether the running program is a copy in memory that nobody can write to: [SealedCopy] made it.
func Sealed() bool {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0) // EINVAL for a file that is not in memory
	return err == nil && got&seals == seals
}

// SealedCopy copies the running program into memory and seals the copy. Executed by its descriptor
// (unix.Exec("/proc/self/fd/N", …)) it is the same program, but its /proc/PID/exe leads to no file of the host. The package's
// comment says when that is needed.
func SealedCopy() (*os.File, error) {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer program.Close()
	fd, err := unix.MemfdCreate("stave", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 every memfd can be executed, and the flag is unknown
		fd, err = unix.MemfdCreate("stave", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "sealed copy of the program")
	if _, err := io.Copy(memory, program); err != nil {
		memory.Close()
		return nil, err
	}
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		memory.Close()
		return nil, fmt.Errorf("seal the copy of the program: %w", err)
	}
	return memory, nil
}

// LockedCopy mounts the running program once more, read-only and in no folder, and opens it there. Executed by its
// descriptor it is the same program, but whoever opens its /proc/PID/exe opens it on that mount, which can't be written to
// (mount_setattr(2), Linux 5.12). It costs a tenth of a [SealedCopy], and needs CAP_SYS_ADMIN.
func LockedCopy() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("mount the program once more: %w", err)
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make that mount read-only: %w", err)
	}
	return os.NewFile(uintptr(fd), "locked copy of the program"), nil
}

// Locked reports whether the running program is on a mount that can't be written to.
func Locked() bool {
	var st unix.Statfs_t
	return unix.Statfs("/proc/self/exe", &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// Displaced reports whether the running program is not the file that its own name leads to. So it is for
// a program of the host that was started inside a container by /proc/self/exe: the path it came by is
// not in the container's root. It must then do nothing: its arguments are the container's choice, and
// whatever it starts in there could keep its /proc/PID/exe open and write to the host's file later. A copy that nobody can
// write to has no name of its own, and nothing to fear.
func Displaced() bool {
	running, err := os.Stat("/proc/self/exe")
	if err != nil {
		return true
	}
	name, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return true
	}
	named, err := os.Stat(name)
	return (err != nil || !os.SameFile(running, named)) && !Locked() && !Sealed()
}
