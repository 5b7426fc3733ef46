// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// confine plans limits, user, capabilities and the system call filter. The order is forced: raising a
// limit and changing groups need rights that the next calls take away, and a seccomp filter without
// no_new_privs needs CAP_SYS_ADMIN, so it then comes before the capabilities go.
func (p *planner) confine() error {
	process := p.spec.Process
	limits, err := security.Limits(process.Rlimits)
	if err != nil {
		return fmt.Errorf("process.rlimits: %w", err)
	}
	p.inside = append(p.inside, limits...)
	if err := p.shares(); err != nil {
		return err
	}
	if err := p.personality(); err != nil {
		return err
	}
	who, err := p.credentials()
	if err != nil {
		return err
	}
	p.stdio(who)
	filter, err := p.seccomp()
	if err != nil {
		return fmt.Errorf("linux.seccomp: %w", err)
	}
	if len(filter) > 0 {
		as := filter[:1]              // without the way of its listener
		if !process.NoNewPrivileges { // then the rights go after the filter
			as = slices.Concat(as, who.Become(), []kernel.Call{p.umask()}, who.Restrict())
		}
		announce := kernel.Call{Request: kernel.Announce{}, Why: "the filter may forbid to say it later"}
		filter = slices.Concat(p.meet(), p.startHooks(as), []kernel.Call{announce}, filter)
	}
	// Now, and not at execve: that looks for the command, its #! line and its loader while descriptors are still open.
	p.add(kernel.CloseUnused{Keep: p.options.Keep}, "a folder of the host that is open is a way out of the container")
	p.add(chroot.WorkingDir{Path: process.Cwd}, "entered while that is allowed, and checked to be inside the root")
	if !process.NoNewPrivileges {
		p.inside = append(p.inside, filter...)
	}
	p.inside = append(p.inside, who.Become()...)
	p.inside = append(p.inside, p.umask())
	p.inside = append(p.inside, who.Restrict()...)
	if process.NoNewPrivileges {
		p.add(security.NoNewPrivileges{}, "set-user-ID programs and file capabilities give nothing")
		p.inside = append(p.inside, filter...)
	}
	return nil
}

// credentials reads who the command is and what it may, and tells of capabilities that it can't get.
func (p *planner) credentials() (security.Credentials, error) {
	facts := p.facts.Security
	if p.own(namespaces.User) {
		facts.Missing = 0
	}
	who, err := security.NewCredentials(p.spec.Process, facts)
	if err != nil {
		return who, fmt.Errorf("process: %w", err)
	}
	if len(who.LeftOut) > 0 {
		p.options.notify(fmt.Sprintf("process.capabilities: %s can't be granted and are left out", strings.Join(who.LeftOut, ", ")))
	}
	return who, nil
}

// shares plans which part of processors, disks and memory nodes the command gets.
func (p *planner) shares() error {
	process := p.spec.Process
	scheduler, err := security.Scheduler(process.Scheduler)
	if err != nil {
		return fmt.Errorf("process.scheduler: %w", err)
	}
	disks, err := security.IOPriority(process.IOPriority)
	if err != nil {
		return fmt.Errorf("process.ioPriority: %w", err)
	}
	memory, err := security.MemoryPolicy(p.spec.Linux.MemoryPolicy)
	if err != nil {
		return fmt.Errorf("linux.memoryPolicy: %w", err)
	}
	if _, _, err := security.ExecAffinity(process.ExecCPUAffinity); err != nil { // it is for those who join, later
		return fmt.Errorf("process.execCPUAffinity.%w", err)
	}
	p.inside = slices.Concat(p.inside, scheduler, disks, memory)
	return nil
}

// umask plans the file mode mask that the command starts with.
func (p *planner) umask() kernel.Call {
	mask := uint32(0o022)
	if m := p.spec.Process.User.Umask; m != nil {
		mask = *m
	}
	return kernel.Call{Request: security.Umask{Mask: mask}, Why: "which permissions new files don't get"}
}

// stdio gives pipes and sockets that are the command's standard streams to its user, who could not
// reopen /dev/stdout otherwise. Those of a container with a user namespace belong to a user that it does not know,
// so that only the host side can give them away.
func (p *planner) stdio(who security.Credentials) {
	own := OwnDescriptor{UID: who.UID, GID: -1}
	side := &p.inside
	if p.own(namespaces.User) && p.facts.Root {
		uid, known := outside(p.spec.Linux.UIDMappings, who.UID)
		gid, group := outside(p.spec.Linux.GIDMappings, 0)
		if known && group {
			own, side = OwnDescriptor{UID: uid, GID: int64(gid)}, &p.host
		}
	}
	if p.spec.Process.Terminal || who.UID == 0 && side == &p.inside {
		return
	}
	for _, fd := range p.facts.OwnStdio {
		own.FD = fd
		*side = append(*side, kernel.Call{
			Request: own, Why: "the user can open /dev/stdin, stdout and stderr again",
			Ignore: []unix.Errno{unix.EPERM, unix.EROFS, unix.EINVAL},
		})
	}
}

// outside returns the id of the host that an id of the container is mapped to.
func outside(list []specs.LinuxIDMapping, id uint32) (uint32, bool) {
	for _, m := range list {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID, true
		}
	}
	return 0, false
}

// personality plans the execution domain.
func (p *planner) personality() error {
	want := p.spec.Linux.Personality
	if want == nil {
		return nil
	}
	if len(want.Flags) > 0 {
		return fmt.Errorf("linux.personality.flags: no flag is known, there are %v", want.Flags)
	}
	domains := map[string]uint32{"LINUX": 0, "LINUX32": 8}
	domain, ok := domains[string(want.Domain)]
	if !ok {
		return fmt.Errorf("linux.personality.domain %q: one of LINUX, LINUX32", want.Domain)
	}
	p.add(Personality{string(want.Domain), domain}, "linux.personality")
	return nil
}
