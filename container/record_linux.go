// SPDX-License-Identifier: Apache-2.0

package container

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/cgroups"
)

// record is a file that holds a container's cgroup, as JSON, for as long as the program that runs it lives, which holds
// a lock on it (flock(2)). A record that nobody holds was left by a program that was killed: the next one removes what
// is left of the cgroup.
type record struct {
	file  *os.File
	group cgroups.Group
}

// recordFolder is where records are: like cgroups, they don't outlive a reboot. A user without such a folder
// ($XDG_RUNTIME_DIR) has no cgroups of his own either.
func recordFolder() string {
	if os.Geteuid() == 0 {
		return "/run/stave/cgroups"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "stave", "cgroups")
	}
	return ""
}

// newRecord notes the folders of a group that is about to be made, and first removes what killed programs left. One
// program at a time does so: another could take a record that is not locked yet for one that was left.
func newRecord(folder string, g cgroups.Group) (*record, error) {
	if len(g.Folders) == 0 || folder == "" {
		return &record{}, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("a folder to note cgroups in: %w", err)
	}
	turn, err := sweep(folder)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	file, err := os.OpenFile(filepath.Join(folder, rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	r := &record{file, g}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), r.close())
	}
	if err := json.NewEncoder(file).Encode(g); err != nil {
		return nil, errors.Join(fmt.Errorf("note the cgroup: %w", err), r.close())
	}
	return r, nil
}

// close removes the record, if all that was made for its cgroup is gone: otherwise the next sweep sees to it. The last
// container in a parent that one before it has made sweeps at once.
func (r *record) close() error {
	if r.file == nil {
		return nil
	}
	err := r.group.RemoveUnused()
	if err == nil && r.group.Gone() {
		err = os.Remove(r.file.Name())
	}
	if err = errors.Join(err, r.file.Close()); err != nil || !r.group.Nested() {
		return err
	}
	turn, err := sweep(filepath.Dir(r.file.Name()))
	if err != nil {
		return err
	}
	return turn.Close()
}

// sweep removes the cgroups of records that nobody holds, and then the records. A container that outlives its program
// keeps its cgroup, and the record stays for the next sweep. Until the caller closes what is returned nobody else sweeps.
func sweep(folder string) (turn *os.File, err error) {
	if turn, err = os.Open(folder); err != nil {
		return nil, err
	}
	if err := unix.Flock(int(turn.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", folder, err), turn.Close())
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, errors.Join(err, turn.Close())
	}
	for _, entry := range entries {
		file, err := os.OpenFile(filepath.Join(folder, entry.Name()), os.O_RDWR, 0)
		if err != nil {
			continue // its owner has just removed it
		}
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && left(file) {
			os.Remove(file.Name())
		}
		file.Close()
	}
	return turn, nil
}

// left removes the cgroup of a record that was left, and tells whether it is gone. A record that was cut off has none:
// it is written whole before its cgroup is made.
func left(file io.Reader) bool {
	var g cgroups.Group
	if json.NewDecoder(file).Decode(&g) != nil {
		return true
	}
	return g.RemoveUnused() == nil && g.Gone()
}
