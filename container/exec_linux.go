// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// ExecOptions say how a process joins a container.
type ExecOptions struct {
	// Process is what to execute (config.md, "Process"). Of capabilities, limits and labels, what it leaves out is the
	// container's; Terminal, with a terminal of the caller's or a ConsoleSocket.
	Process *specs.Process
	// Keep, PidFile, ConsoleSocket and Detach are as in [Options].
	Keep                   int
	PidFile, ConsoleSocket string
	Detach                 bool
	// IgnorePaused lets the process join a container that is paused; it then starts when that is resumed.
	IgnorePaused bool
	// Cgroup, if set, is a cgroup below the container's for the process; it must be there.
	Cgroup string
	// Planned, if set, is told of each call of the program before the first is done.
	Planned func(Step)
}

// Process returns the container's own process as its configuration has it, for the caller to change.
func (i *Instance) Process() (*specs.Process, error) {
	b, err := i.bundle()
	if err != nil {
		return nil, err
	}
	return b.Spec.Process, nil
}

// bundle reads the configuration that the container was made of.
func (i *Instance) bundle() (*Bundle, error) {
	data, err := kernel.ReadFile(i.path(configFile))
	if err != nil {
		return nil, err
	}
	spec, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.path(configFile), err)
	}
	return &Bundle{Dir: i.Bundle, Spec: spec}, nil
}

// Exec runs a process in a container until it ends, or with Detach until it has begun, and returns its exit code as [Run]
// does. The process is a child of the caller.
func (i *Instance) Exec(o ExecOptions) (code int, err error) {
	if err := ProtectProgram(); err != nil {
		return 0, err
	}
	l, err := i.prepareExec(o)
	if l != nil {
		defer func() { err = errors.Join(err, l.abandon()) }()
	}
	if err != nil {
		return 0, err
	}
	if o.Detach {
		_, err := l.program.Start(kernel.Options{Slots: l.slots})
		if err != nil {
			return execCode(err), explain(err)
		}
		return 0, nil
	}
	status, code, err := l.foreground(nil)
	if err != nil {
		return code, err
	}
	return exitCode(status), nil
}

// prepareExec plans, with everything open that the process needs of the container.
func (i *Instance) prepareExec(o ExecOptions) (*launch, error) {
	pid, err := i.joinable(o)
	if err != nil {
		return nil, err
	}
	b, err := i.bundle()
	if err != nil {
		return nil, err
	}
	b.Spec.Hooks = nil // they are for the container's own process
	b.Spec.Process = processFor(b.Spec.Process, o.Process)
	if err := check(b.Spec); err != nil {
		return nil, err
	}
	l := &launch{
		bundle: b, slots: map[kernel.Slot]int{}, joins: true,
		options: Options{ID: i.ID, Keep: o.Keep, PidFile: o.PidFile, ConsoleSocket: o.ConsoleSocket, Detach: o.Detach, Planned: o.Planned},
	}
	if l.facts, err = i.execFacts(b, pid, o.Cgroup); err != nil {
		return l, err
	}
	if err := l.terminal(); err != nil {
		return l, err
	}
	joins, err := l.open(pid)
	if err != nil {
		return l, err
	}
	if life, _, err := i.life(); err != nil || !life.alive() { // what was opened is its own only if it still is
		return l, errors.Join(fmt.Errorf("%w: %s has just ended", ErrNotRunning, i.ID), err)
	}
	if l.program, err = planExec(b, l.facts, l.options, joins); err == nil {
		l.planned()
	}
	return l, err
}

// joinable returns the process of a container that another one can join.
func (i *Instance) joinable(o ExecOptions) (pid int, err error) {
	s, err := i.look()
	switch {
	case err != nil:
		return 0, err
	case s.Pid == 0 || s.Status == specs.StateCreating:
		return 0, fmt.Errorf("cannot exec in a stopped container: %w: %s is %s", ErrNotRunning, i.ID, s.Status)
	case s.Status == Paused && !o.IgnorePaused:
		return 0, fmt.Errorf("cannot exec in a paused container: resume %s first, or use --ignore-paused", i.ID)
	}
	return s.Pid, nil
}

// open opens those namespaces of a process that are not the caller's own: to join one's own is needless, and for the user
// namespace forbidden (setns(2)). Of a container without a mount namespace it opens the root.
func (l *launch) open(pid int) ([]namespaces.Join, error) {
	var joins []namespaces.Join
	if l.facts.HostRoot.Path != "" {
		root := fmt.Sprintf("/proc/%d/root", pid)
		fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: root, Err: err}
		}
		l.slots[slotRoot] = fd
	}
	for _, kind := range namespaces.Kinds() {
		if unix.Access("/proc/self/ns/"+string(kind), unix.F_OK) == unix.ENOENT {
			continue // this kernel has no such kind
		}
		if sameNamespace(pid, kind) {
			continue
		}
		j := namespaces.Join{Kind: kind, Path: kind.Path(pid)}
		fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: j.Path, Err: err}
		}
		l.slots[j.Slot()] = fd
		joins = append(joins, j)
	}
	return joins, nil
}

// execFacts looks at the machine and the container for what the plan needs.
func (i *Instance) execFacts(b *Bundle, pid int, below string) (f Facts, err error) {
	f = Facts{UID: os.Geteuid(), Root: cgroups.Root(), OwnStdio: pipes(), HostRoot: i.HostRoot}
	if f.Security, err = security.ReadFacts(); err != nil {
		return f, err
	}
	setgroups, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/setgroups", pid))
	f.Security.SetgroupsDenied = err == nil && strings.TrimSpace(string(setgroups)) == "deny"
	f.Home = homeOf(fmt.Sprintf("/proc/%d/root", pid), b.Spec.Process)
	f.Born = kernel.ClonesIntoCgroups()
	if below != "" {
		f.Group, err = i.Cgroup.Below(below)
	} else {
		f.Group, err = i.Cgroup.Following(pid)
	}
	return f, err
}
