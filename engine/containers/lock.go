// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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

// mounted tells whether a process has something of a container's folder mounted, other than in the caller's own mount namespace: as the
// root of a mount, the fourth field, or in the options of an overlay, after the dash (proc_pid_mountinfo(5)).
//
//	31 24 254:0 /var/lib/stave/containers/4f…/rootfs / rw shared:12 - ext4 /dev/vda rw
//	36 35 0:33 / / rw - overlay overlay rw,lowerdir+=…,upperdir=/var/lib/stave/containers/4f…/diff,workdir=…
func mounted(dir string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/mountinfo") // the pattern is well formed
	part := []byte("/" + filepath.Base(dir) + "/")
	seen := map[string]bool{}
	for _, file := range files {
		space, err := os.Readlink(filepath.Join(filepath.Dir(file), "ns/mnt"))
		if err != nil || seen[space] {
			continue // it has ended, or is of another user, whose containers these are not
		}
		seen[space] = true
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, part) {
			return true
		}
	}
	return false
}

// exists tells whether there is a file.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
