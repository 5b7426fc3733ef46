// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockName is the file whose lock says that a folder is in use.
const lockName = "lock"

// errBusy says that somebody else holds a lock.
var errBusy = errors.New("in use")

// lockFile locks a file; the kernel unlocks it when the process ends, however it ends. The error is errBusy where somebody else has
// locked it. With os.O_CREATE|os.O_EXCL it makes the file.
func lockFile(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock locks an open file (flock(2)).
func lock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return errBusy
		default:
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// isRoot tells whether a process has the root file system mounted that is in a temporary folder: the fourth field of a line of its mountinfo
// (proc_pid_mountinfo(5)) is then a path that ends with it.
//
//	31 24 254:0 /var/lib/stave/containers/4f02ab61c9d3/rootfs / rw shared:12 - ext4 /dev/vda rw
func isRoot(id string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // the pattern is well formed
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Contains(data, []byte("/"+id+"/rootfs / ")) {
			return true
		}
	}
	return false
}
