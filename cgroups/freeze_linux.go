// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// The states of a v1 freezer, as freezer.state has them (cgroup-v1/freezer-subsystem.rst).
const (
	stateThawed = "THAWED"
	stateFrozen = "FROZEN"
)

// freezeTime is how long the kernel has to bring every process of a group to a stop. A process that is not sleeping
// for the sake of a disk or another file system stops within microseconds.
const freezeTime = 2 * time.Second

// Freeze stops every process of the group and of the groups below it, so that none makes progress until [Group.Thaw].
// It returns when all stand still; where that does not happen within two seconds, it thaws the group again and says so.
// Version 1 stops processes where no signal can wake them, not even SIGKILL; version 2 lets SIGKILL through
// (cgroup-v1/freezer-subsystem.rst; cgroup-v2.rst, "cgroup.freeze").
func (g Group) Freeze() error {
	f, err := g.freezer()
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	done, err := f.freeze(freezeTime)
	if err == nil && !done {
		err = fmt.Errorf("a process is still not frozen after %v: it waits in the kernel for a disk or a file system "+
			"and cannot be interrupted (state D in ps); try again later", freezeTime)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("freeze %s: %w", f.Path, err), f.thaw())
	}
	return nil
}

// Thaw lets the processes of the group go on. Groups below it that were frozen for themselves stay so, and while a
// group above it is frozen nothing goes on, which is an error. A group that is not frozen is none.
func (g Group) Thaw() error {
	f, err := g.freezer()
	if err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	if err := f.thaw(); err != nil {
		return err
	}
	frozen, err := g.Frozen()
	if err == nil && frozen && f.Version == 2 { // the processes go on one after the other, and the file tells
		var thawed bool
		thawed, err = await(f.File("cgroup.events"), "frozen", 0, freezeTime)
		frozen = !thawed
	}
	if err == nil && frozen {
		err = fmt.Errorf("thaw %s: it stays frozen, for a cgroup above it is: thaw that one first", f.Path)
	}
	return err
}

// Frozen tells whether all processes of the group and of those below it stand still, whether by [Group.Freeze] or
// because a group above it is frozen. While some are still on their way it is false.
func (g Group) Frozen() (bool, error) {
	f, err := g.freezer()
	if err != nil {
		return false, fmt.Errorf("look whether it is frozen: %w", err)
	}
	if f.Version == 1 {
		state, err := f.state()
		return state == stateFrozen, err
	}
	text, err := kernel.ReadFile(f.File("cgroup.events"))
	if err != nil {
		return false, err
	}
	events, err := parseKeyed(string(text))
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.File("cgroup.events"), err)
	}
	return events["frozen"] == 1, nil
}

// freezer is the folder whose hierarchy can freeze.
func (g Group) freezer() (Folder, error) {
	f, ok := g.Folder("freezer")
	if !ok {
		return f, errors.New("the container has no cgroup with a freezer: mount the v1 controller freezer or cgroup2")
	}
	return f, nil
}

// freeze stops the processes and tells whether all of them stood still in time. If not, those that do stay so.
func (f Folder) freeze(limit time.Duration) (bool, error) {
	if f.Version == 2 {
		if err := store(f.File("cgroup.freeze"), "1"); err != nil {
			return false, err
		}
		return await(f.File("cgroup.events"), "frozen", 1, limit)
	}
	pause := 20 * time.Microsecond
	for end, try := time.Now().Add(limit), 1; ; try++ {
		// The state can stay FREEZING until FROZEN is written again, or until the blocking process is gone.
		if err := store(f.File("freezer.state"), stateFrozen); err != nil && !errors.Is(err, unix.EBUSY) {
			return false, err
		}
		state, err := f.state()
		if err != nil || state == stateFrozen || time.Now().After(end) {
			return state == stateFrozen, err
		}
		if try%25 == 0 { // a process that waits for one already frozen gets on only when both may go
			if err := f.thaw(); err != nil {
				return false, err
			}
		}
		time.Sleep(pause) // version 1 announces nothing
		pause = min(2*pause, 10*time.Millisecond)
	}
}

// thaw takes back what freeze asked for.
func (f Folder) thaw() error {
	if f.Version == 2 {
		return store(f.File("cgroup.freeze"), "0")
	}
	return store(f.File("freezer.state"), stateThawed)
}

// state reads what version 1 says of the group: FREEZING is neither of the two states.
func (f Folder) state() (string, error) {
	text, err := kernel.ReadFile(f.File("freezer.state"))
	return strings.TrimSpace(string(text)), err
}
