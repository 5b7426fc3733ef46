// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// killTime is how long killed processes have until they must be gone.
const killTime = 10 * time.Second

// Processes returns the processes of the group and of all groups below it, in any hierarchy: sorted, each once, as
// this process's PID namespace numbers them. Those that it does not see are left out. A group that was removed has none.
func (g Group) Processes() ([]int, error) {
	pids, err := g.pids()
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == 0 }), err
}

// Kill kills every process of the group and of all groups below it, frozen ones too, and returns when none is left. The
// group is thawed then. Where the kernel can (since 5.14), one write to cgroup.kill does it, else the group is frozen,
// so that none can fork away from its signal, and thawed to die. It is an error to be in the group oneself, and when
// processes are still there ten seconds later.
func (g Group) Kill() error {
	own, err := g.pids()
	if err != nil {
		return err
	}
	if slices.Contains(own, os.Getpid()) {
		return fmt.Errorf("kill: this process (%d) is in the cgroup itself: run it outside", os.Getpid())
	}
	if err := g.killUnified(); err != nil {
		return err
	}
	for end := time.Now().Add(killTime); ; {
		left, err := g.pids()
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return g.settle()
		}
		if time.Now().After(end) {
			return fmt.Errorf("kill: processes %v are still there after %v: they wait in the kernel and cannot be interrupted "+
				"(state D in ps), a cgroup above them is frozen, or they are of a PID namespace not seen from here (0)", left, killTime)
		}
		if err := errors.Join(g.killFrozen(), g.thawAll()); err != nil {
			return err
		}
		waitEnd(left[len(left)-1], 100*time.Millisecond)
	}
}

// killUnified writes cgroup.kill, which kills the processes of the v2 tree and those they are just forking
// (cgroup-v2.rst), and waits until that tree is empty. Where there is no such tree, process, or file it does nothing.
func (g Group) killUnified() error {
	f, ok := g.Unified()
	if !ok {
		return nil
	}
	if inside, err := (Group{Folders: []Folder{f}}).pids(); err != nil || len(inside) == 0 {
		return err
	}
	err := store(f.File("cgroup.kill"), "1")
	switch {
	case gone(err), errors.Is(err, unix.EOPNOTSUPP): // an old kernel, or a threaded cgroup
		return nil
	case err != nil:
		return err
	}
	if err := g.thawAll(); err != nil { // a v1 freezer beside it holds them back
		return err
	}
	if _, err := await(f.File("cgroup.events"), "populated", 0, killTime/10); err != nil && !gone(err) {
		return err
	}
	return nil
}

// killFrozen freezes the group, if it can, and signals every process in it. While all stand still, none can fork nor end,
// so that no number comes to mean another process.
func (g Group) killFrozen() error {
	if f, ok := g.Folder("freezer"); ok {
		// A process that cannot be frozen now may fork once more; the next round finds the child.
		if _, err := f.freeze(freezeTime); err != nil && !gone(err) {
			return err
		}
	}
	pids, err := g.pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == 0 { // not of our PID namespace; kill(2) would take it for our own process group
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	return nil
}

// thawAll thaws the group and those below it: in version 1 a frozen process does not die.
func (g Group) thawAll() error {
	f, ok := g.Folder("freezer")
	if !ok {
		return nil
	}
	tree, err := f.tree()
	if err != nil {
		return err
	}
	for _, nested := range tree {
		if err := nested.thaw(); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

// settle thaws the group when it is empty. Where a process of a frozen group ends, Linux takes the group for frozen again as
// soon as none of its own is left, whatever those in the groups below do; when these are not frozen any more while it
// thaws the group, it does not look again (kernel/cgroup/freezer.c, cgroup_update_frozen and cgroup_do_freeze), and the
// group stays "frozen 1" with a cgroup.freeze of 0. It does look when an empty tree is frozen once more and thawed.
func (g Group) settle() error {
	if err := g.thawAll(); err != nil {
		return err
	}
	f, ok := g.Folder("freezer")
	if !ok || f.Version == 1 {
		return nil
	}
	tree, err := f.tree()
	if err != nil {
		return err
	}
	for _, nested := range tree {
		frozen, err := (Group{Folders: []Folder{nested}}).Frozen()
		switch {
		case gone(err), err == nil && !frozen:
			continue
		case err != nil:
			return err
		}
		for _, state := range []string{"1", "0"} {
			if err := store(f.File("cgroup.freeze"), state); err != nil && !gone(err) {
				return err
			}
		}
		return nil
	}
	return nil
}

// waitEnd waits for the end of a process, at most for a time.
func waitEnd(pid int, limit time.Duration) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // it has ended, is not of our PID namespace, or the kernel is older than 5.3
		time.Sleep(limit / 100)
		return
	}
	defer unix.Close(fd)
	_ = wait(limit, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) // the caller looks again in any case
}

// pids returns what [Group.Processes] does, and once 0 if there are processes that our PID namespace does not see.
func (g Group) pids() ([]int, error) {
	var all []int
	for _, f := range g.Folders {
		tree, err := f.tree()
		if err != nil {
			return nil, err
		}
		for _, nested := range tree {
			file := nested.File("cgroup.procs")
			text, err := kernel.ReadFile(file)
			switch {
			case gone(err), errors.Is(err, unix.EOPNOTSUPP): // a threaded cgroup: the one above it lists its processes
				continue
			case err != nil:
				return nil, err
			}
			pids, err := parsePids(string(text))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			all = append(all, pids...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// tree returns the folder and all below it, the upper ones first. Those that go away meanwhile may be left out.
func (f Folder) tree() ([]Folder, error) {
	var all []Folder
	err := filepath.WalkDir(f.Path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case gone(err):
			return nil
		case err == nil && entry.IsDir():
			nested := f
			nested.Path = name
			all = append(all, nested)
		}
		return err
	})
	return all, err
}
