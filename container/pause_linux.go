// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Pause stops every process of a container that runs or waits for its start, until [Instance.Resume]. The error of one
// that has ended, or is paused already, is an [ErrNotRunning].
func (i *Instance) Pause() error {
	if err := i.relock(); err != nil {
		return err
	}
	s, err := i.stateLocked()
	if err != nil {
		return err
	}
	if s.Status != specs.StateRunning && s.Status != specs.StateCreated {
		return fmt.Errorf("%w: cannot pause %s, which is %s", ErrNotRunning, i.ID, s.Status)
	}
	if err := i.grouped("pause it"); err != nil {
		return err
	}
	return i.Cgroup.Freeze()
}

// Resume lets the processes of a paused container go on. The error of one that is not paused is an [ErrNotPaused].
func (i *Instance) Resume() error {
	if err := i.relock(); err != nil {
		return err
	}
	s, err := i.stateLocked()
	if err != nil {
		return err
	}
	if s.Status != Paused {
		return fmt.Errorf("%w: cannot resume %s, which is %s", ErrNotPaused, i.ID, s.Status)
	}
	return i.Cgroup.Thaw()
}

// grouped refuses what needs a cgroup for a container that has none.
func (i *Instance) grouped(what string) error {
	if len(i.Cgroup.Folders) > 0 {
		return nil
	}
	return fmt.Errorf("cannot %s: container %s has no cgroup, as none is delegated to the user who made it: "+
		"run it as root, or in a delegated cgroup (with systemd: systemd-run --user --scope -p Delegate=yes COMMAND)", what, i.ID)
}
