// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/container"
)

// labImage is the name of the image that is built in.
const labImage = "lab"

// lab is a root file system made for one container from the program stave-lab.
type lab struct {
	dir, rootfs string
	lock        *os.File // held as long as the container lives
}

// makeLab makes the image's root file system for a container. Each container gets its own: what it
// changes is gone with it. foreign gives the files to the container's root where that is another user
// of the host.
func makeLab(image, id string, foreign bool) (*lab, error) {
	if image != labImage {
		return nil, fmt.Errorf("there is no image %q: this version has the built-in image %s, and --rootfs for a folder", image, labImage)
	}
	program, err := labProgram()
	if err != nil {
		return nil, err
	}
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	containers := filepath.Join(state, "containers")
	if err := os.MkdirAll(containers, 0o711); err != nil {
		return nil, fmt.Errorf("the folder for containers: %w", err)
	}
	l := &lab{dir: filepath.Join(containers, id)}
	l.rootfs = filepath.Join(l.dir, "rootfs")
	if err := l.reserve(containers); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	if err := l.make(program, foreign); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// reserve sweeps, and makes and locks the folder. One stave at a time does so: another's sweep could
// take a folder whose lock is not held yet for one that was left.
func (l *lab) reserve(containers string) error {
	turn, err := os.Open(containers)
	if err != nil {
		return err
	}
	defer turn.Close()
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", containers, err)
	}
	sweep(containers)
	if err := os.Mkdir(l.dir, 0o711); err != nil {
		return err
	}
	l.lock, err = lockFile(filepath.Join(l.dir, "lock"))
	return err
}

// make fills the folder.
func (l *lab) make(program string, foreign bool) error {
	if err := os.Mkdir(l.rootfs, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command(program, "--plant", l.rootfs).CombinedOutput(); err != nil {
		return fmt.Errorf("make the image %s: %w: %s", labImage, err, bytes.TrimSpace(out))
	}
	if !foreign {
		return nil
	}
	uid, gid := container.MappedRoot()
	return filepath.WalkDir(l.rootfs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// remove removes the folder and lets go of its lock.
func (l *lab) remove() error {
	err := os.RemoveAll(l.dir)
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// lockFile makes a file and locks it (flock(2)); the kernel unlocks it when the process ends, however
// it ends.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

// sweep removes the folders of containers whose stave was killed: nobody holds their lock. The container
// itself may still run, as one of runc does; then its folder stays until it has ended. A folder without
// a lock file is another's that is being made this moment, and stays.
func sweep(containers string) {
	entries, err := os.ReadDir(containers)
	if err != nil {
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(containers, entry.Name())
		f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && !isRoot(entry.Name()) {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}

// isRoot tells whether a process still has a container's root file system mounted: the fourth field of a
// line of its mountinfo (proc_pid_mountinfo(5)) is then a path that ends with the container's.
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

// labProgram finds the program stave-lab beside this one.
func labProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(self), "stave-lab")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("the image %s is made of the program stave-lab, which is not beside %s: make build puts it there", labImage, self)
	}
	return program, nil
}

// stateDir is where what containers need is kept: $STAVE_STATE, or else /var/lib/stave, and for an
// ordinary user $XDG_DATA_HOME/stave.
func stateDir() (string, error) {
	if dir := os.Getenv("STAVE_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/stave", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "stave"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the container's files: %w, and XDG_DATA_HOME is not set either", err)
	}
	return filepath.Join(home, ".local", "share", "stave"), nil
}
