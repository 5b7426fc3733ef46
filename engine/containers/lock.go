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

// lockFile makes a file if it is not there, and locks it (flock(2)); the kernel unlocks it when the process ends, however it ends.
// It waits for the lock, or fails with errBusy.
func lockFile(name string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if err == unix.EWOULDBLOCK {
		return nil, errBusy
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
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
