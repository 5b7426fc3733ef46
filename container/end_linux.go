// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/namespaces"
)

// Kill sends a signal to the container's first process, or to all its processes. Where the container has no PID namespace
// of its own, SIGKILL goes to all of them: the kernel would end only the first. The error of one that doesn't run is an
// [ErrNotRunning], but not with all.
func (i *Instance) Kill(signal unix.Signal, all bool) error {
	s, err := i.look()
	if err != nil {
		return err
	}
	if s.Pid == 0 && !all {
		return fmt.Errorf("%w: %s is %s", ErrNotRunning, i.ID, s.Status)
	}
	if all || signal == unix.SIGKILL && !i.ownProcesses(s.Pid) {
		return i.killAll(signal, s.Pid)
	}
	if err := i.signal(signal); err != nil {
		return fmt.Errorf("signal %s of %s: %w", unix.SignalName(signal), i.ID, err)
	}
	if s.Status == Paused && signal == unix.SIGKILL {
		return i.Cgroup.Thaw() // in version 1 a frozen process does not even die
	}
	return nil
}

// ownProcesses tells whether the container's process is the first of its PID namespace.
func (i *Instance) ownProcesses(pid int) bool {
	return pid != 0 && !sameNamespace(pid, namespaces.PID)
}

// signal sends a signal to the container's process, and to no other one that has its number by now.
func (i *Instance) signal(signal unix.Signal) error {
	l, _, err := i.life()
	if err != nil {
		return err
	}
	return l.signal(signal)
}

// signal sends a signal to a process, if it is the one that is meant.
func (l life) signal(signal unix.Signal) error {
	fd, err := unix.PidfdOpen(l.pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !l.alive() {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, signal, nil, 0)
}

// killAll sends a signal to every process of the container. Without a cgroup these are the first one, and with a PID
// namespace what it takes with it.
func (i *Instance) killAll(signal unix.Signal, pid int) error {
	if len(i.Cgroup.Folders) == 0 {
		if pid == 0 {
			return nil
		}
		return i.signal(signal)
	}
	if signal == unix.SIGKILL {
		return i.Cgroup.Kill()
	}
	pids, err := i.Cgroup.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, signal); err != nil && err != unix.ESRCH {
			return fmt.Errorf("signal %s of process %d: %w", unix.SignalName(signal), pid, err)
		}
	}
	return nil
}

// Delete removes a container that has stopped, or was created and not started: its cgroup and its folder. With force it
// first kills one that runs, and removes what is left of one whose creation was interrupted. Notice, if set, is told of
// poststop hooks that failed, and of a cgroup that can't be found any more.
func (i *Instance) Delete(force bool, notice func(string)) error {
	if force {
		if err := i.interrupt(); err != nil {
			return err
		}
	}
	if err := i.lock(); err != nil {
		return err
	}
	if err := i.load(); err != nil && !force {
		return err
	}
	s, err := i.stateLocked()
	if err != nil && !force {
		return err
	}
	if !force && !slices.Contains([]specs.ContainerState{specs.StateStopped, specs.StateCreated}, s.Status) {
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", i.ID, s.Status)
	}
	var b *Bundle
	var unknown error
	if i.Hooked || i.Created.IsZero() {
		b, unknown = i.bundle()
	}
	if i.Created.IsZero() {
		if err := i.recover(b, unknown, Options{Notice: notice}); err != nil {
			return err
		}
	}
	if err := i.destroy(); err != nil || unknown != nil || b == nil {
		return err
	}
	Options{Notice: notice, ID: i.ID}.poststop(b)
	return nil
}

// interrupt kills the process of a container, or the command that is just making it, in a hook that hangs perhaps: the
// container's process does not go on without it.
func (i *Instance) interrupt() error {
	_, known, err := i.life()
	if err == nil && !known && i.making() {
		if maker, known, err := readLife(i.path(makerName)); err == nil && known {
			maker.signal(unix.SIGKILL) // or it has ended just now
		}
		return nil
	}
	if err != nil || !known {
		return nil //nolint:nilerr // a broken file names no process; the cgroup has them all
	}
	if err := i.signal(unix.SIGKILL); err != nil && err != unix.ESRCH && err != unix.EINVAL {
		return fmt.Errorf("kill %s: %w", i.ID, err)
	}
	return nil
}

// stateLocked is look for the one who has the lock.
func (i *Instance) stateLocked() (State, error) {
	s, err := i.look()
	if s.Status == specs.StateCreating { // by itself: the lock is ours
		s.Status = specs.StateStopped
	}
	return s, err
}

// destroy ends what still runs and removes everything.
func (i *Instance) destroy() error {
	if err := i.end(); err != nil {
		return err
	}
	f := Facts{Group: i.Cgroup, Unit: i.Unit, RdtLeft: i.Rdt, HostRoot: i.HostRoot}
	if err := f.leave(); err != nil {
		return err
	}
	if err := removeAbove(f.ours()); err != nil {
		return err
	}
	return i.remove()
}

// end kills the first process and waits until it is gone: a PID namespace is then empty.
func (i *Instance) end() error {
	l, known, err := i.life()
	if err != nil || !known || !l.alive() {
		return nil //nolint:nilerr // a broken file names no process; the cgroup has them all
	}
	if err := i.signal(unix.SIGKILL); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill %s: %w", i.ID, err)
	}
	if frozen, _ := i.Cgroup.Frozen(); frozen {
		if err := i.Cgroup.Thaw(); err != nil {
			return err
		}
	}
	const patience = 10 * time.Second
	for deadline := time.Now().Add(patience); l.alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("container %s: process %d has not ended %v after SIGKILL: it waits for the kernel (see /proc/%d/stack); try again later", i.ID, l.pid, patience, l.pid)
		}
	}
	return nil
}

// sameNamespace tells whether a process is in the caller's namespace of a kind.
func sameNamespace(pid int, kind namespaces.Kind) bool {
	var here, there unix.Stat_t
	err := errors.Join(unix.Stat("/proc/self/ns/"+string(kind), &here), unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, kind), &there))
	return err == nil && here.Ino == there.Ino && here.Dev == there.Dev
}
