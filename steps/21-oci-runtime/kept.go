// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
)

// This file keeps containers: a folder for each, with three files that a person can read.

// The files in a container's folder.
const (
	stateName = "state.json" // what is known before its process exists
	pidName   = "pid"        // the process, and when it began
	startName = "start.sock" // on which it waits for the start, and only then is there
)

// keeper is the folder in which containers are kept.
type keeper struct {
	root      string
	explained bool
	locked    *os.File
}

// container is one that is kept: what its file state.json holds.
type container struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Group is the cgroup to remove in the end.
	Group cgroups.Group `json:"cgroup"`
	// Rest are the calls that are left for the start: an error names one of them.
	Rest []string `json:"rest,omitempty"`

	folder string
	open   *os.File // the folder, as long as this command makes the container
}

// defaultRoot is a folder that does not outlive a reboot, as processes don't either.
func defaultRoot() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); os.Geteuid() != 0 && dir != "" {
		return filepath.Join(dir, "stave-step-21")
	}
	return "/run/stave-step-21"
}

// lock waits until no other command is at work, if this one does not have the lock yet. It is a record lock (fcntl(2)): that
// of flock(2) a child would share, and a container that is killed half made would keep it.
func (k *keeper) lock() error {
	if k.locked != nil {
		return nil
	}
	if err := os.MkdirAll(k.root, 0o711); err != nil {
		return fmt.Errorf("a folder to keep containers in (-root names another): %w", err)
	}
	file, err := os.OpenFile(filepath.Join(k.root, ".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	k.locked = file
	for {
		err := unix.FcntlFlock(file.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK})
		if err != unix.EINTR {
			return err
		}
	}
}

// unlock lets the next command begin.
func (k *keeper) unlock() {
	k.locked.Close() // and with it the lock; of nil an error, as it was given up before
	k.locked = nil
}

// find reads what is kept of a container. One that was killed before that was written has made nothing else.
func (k *keeper) find(id string) (*container, error) {
	c := &container{ID: id, folder: k.folder(id)}
	if _, err := os.Stat(c.folder); err != nil {
		return nil, fmt.Errorf("container %s does not exist: %w", id, err)
	}
	text, err := os.ReadFile(c.file(stateName))
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.file(stateName), err)
	}
	return c, err
}

// make makes the folder of a new container. Of two commands at once, one gets it.
func (c *container) make() (err error) {
	if err := os.Mkdir(c.folder, 0o711); err != nil {
		return fmt.Errorf("create %s: is there one with this name? %w", c.ID, err)
	}
	c.open, err = os.Open(c.folder)
	return err
}

// replaced tells whether other commands have deleted the container while it ran, and perhaps made another one with its name.
func (c *container) replaced() bool {
	mine, err := c.open.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(c.folder)
	return err != nil || !os.SameFile(mine, there)
}

// unmake removes the folder of a container that could not be made, if it is still that one's.
func (c *container) unmake() error {
	if c.replaced() {
		return nil
	}
	return os.RemoveAll(c.folder)
}

// save writes what is known of the container, whole or not at all.
func (c *container) save() error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file("new"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(c.file("new"), c.file(stateName))
}

// remove removes cgroup and folder; the folder says where the cgroup is, so it goes last.
func (c *container) remove() error {
	if err := c.Group.Remove(); err != nil {
		return err
	}
	return os.RemoveAll(c.folder)
}

// folder is where a container is kept.
func (k *keeper) folder(id string) string { return filepath.Join(k.root, id) }

// file is the path of a file in the container's folder.
func (c *container) file(name string) string { return filepath.Join(c.folder, name) }

// socket makes a socket and binds or connects it to the one in the folder, which is named through a descriptor: an address
// holds 107 bytes (unix(7)), and the folder's path may be longer.
func (c *container) socket(use func(int, unix.Sockaddr) error) (int, error) {
	dir, err := unix.Open(c.folder, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: c.folder, Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := use(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, startName)}); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "socket", Path: c.file(startName), Err: err}
	}
	return fd, nil
}

// birth tells when a process began, in clock ticks after boot: the number alone may be another process's by now. It is
// empty for one that has ended, whether collected or not.
//
//	1204 (name) S 1 1204 1204 0 -1 4194560 …
//	1    2      3 4 …                        22: when it began (proc_pid_stat(5))
func birth(pid int) string {
	text, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if err != nil || len(fields) < 20 || strings.Contains("ZX", fields[0]) {
		return ""
	}
	return fields[19]
}

// send sends a signal to a process by its pidfd (pidfd_open(2)), if it is still the one that it was when that was open: the
// number can be another process's between the look and the kill. It waits for what SIGKILL does.
func send(signal unix.Signal, pid int, same func() bool) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if !same() {
		return fmt.Errorf("process %d: %w", pid, unix.ESRCH)
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil || signal != unix.SIGKILL {
		return err
	}
	return ended(fd, 10*time.Second)
}

// ended waits until a process has ended, by its pidfd.
func ended(pidfd int, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(time.Until(deadline).Milliseconds()))
		switch {
		case err == unix.EINTR && time.Now().Before(deadline):
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("the process has not ended %v after SIGKILL: it waits for the kernel", patience)
		default:
			return nil
		}
	}
}
