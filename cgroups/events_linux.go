// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// store writes a value into a file of a cgroup that must be there.
func store(name, value string) error {
	if err := kernel.Store(name, value); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}

// gone tells whether an error says that a file or its cgroup is not there, or no longer: a file that was opened before
// its cgroup was removed gives ENODEV.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// announcer is an open file of a cgroup that announces its changes by poll(2) with POLLPRI, as cgroup.events and
// memory.events do (cgroup-v2.rst, "Interface Files").
type announcer struct {
	fd   int
	name string
}

// announce opens such a file.
func announce(name string) (announcer, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return announcer{-1, name}, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return announcer{fd, name}, nil
}

// text reads the whole file from its start, which also tells the kernel that its changes up to now are known. The
// files that announce something have a few lines.
func (a announcer) text() (string, error) {
	buffer := make([]byte, 4096)
	n, err := unix.Pread(a.fd, buffer, 0)
	if err != nil {
		return "", &os.PathError{Op: "read", Path: a.name, Err: err}
	}
	return string(buffer[:n]), nil
}

// close closes the file.
func (a announcer) close() { unix.Close(a.fd) }

// await waits until the file at name has a value under a key, at most for a time, and tells whether that came. The file
// is read after each announcement, never by the clock.
func await(name, key string, value uint64, limit time.Duration) (bool, error) {
	a, err := announce(name)
	if err != nil {
		return false, err
	}
	defer a.close()
	for end := time.Now().Add(limit); ; {
		text, err := a.text()
		if err != nil {
			return false, err
		}
		now, err := parseKeyed(text)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		if got, ok := now[key]; ok && got == value {
			return true, nil
		}
		left := time.Until(end)
		if left <= 0 {
			return false, nil
		}
		if err := wait(left, unix.PollFd{Fd: int32(a.fd), Events: unix.POLLPRI}); err != nil {
			return false, fmt.Errorf("poll %s: %w", name, err)
		}
	}
}

// wait is poll(2) on some descriptors, at most for a time, or without end if that is negative. It returns early when a
// signal comes.
func wait(limit time.Duration, fds ...unix.PollFd) error {
	ms := -1
	if limit >= 0 {
		ms = int((limit + time.Millisecond - 1) / time.Millisecond)
	}
	if _, err := unix.Poll(fds, ms); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}
