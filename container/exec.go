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

// planExec returns the program of a process that joins a container: into its cgroup, into those of its namespaces that are
// not the caller's (opened by the caller, under the slots of namespaces.Join), and into what its command may. The spec is
// the container's, with the process to execute.
func planExec(b *Bundle, f Facts, o Options, joins []namespaces.Join) (kernel.Program, error) {
	p := &planner{bundle: b, spec: b.Spec, facts: f, options: o, joined: map[namespaces.Kind]bool{}, joins: true}
	for _, j := range joins {
		p.joined[j.Kind] = true
	}
	for _, part := range []func() error{
		p.start, func() error { return p.join(joins) }, p.labels, p.execTerminal, p.confine, p.command,
	} {
		if err := part(); err != nil {
			return kernel.Program{}, err
		}
	}
	return p.program(), nil
}

// join plans the way into cgroup and namespaces. What the host's /proc is still needed for is opened before it is out of sight:
// the one of the container may be anything.
func (p *planner) join(joins []namespaces.Join) error {
	initial, final, err := security.ExecAffinity(p.spec.Process.ExecCPUAffinity)
	if err != nil {
		return fmt.Errorf("process.execCPUAffinity.%w", err)
	}
	slot, open, enter := p.facts.Group.Enter(p.facts.Born && len(initial) == 0)
	p.inside = slices.Concat(p.inside, initial, enter, final)
	p.add(security.NonDumpable{}, "nobody in the namespaces may look into this process, or at its binary, before execve")
	if p.spec.Process.ApparmorProfile != "" || p.spec.Process.SelinuxLabel != "" {
		p.add(OpenFolder{Path: "/proc", Slot: slotProc}, "the host's, which shows this process whatever the container has mounted there")
	}
	p.add(kernel.CloseUnused{Keep: p.options.Keep}, reasonUnused)
	host, inside := namespaces.Config{Joins: joins, Cgroup: slot}.Plan()
	opened := func(c kernel.Call) bool { _, ok := c.Request.(namespaces.Open); return ok }
	p.host = append(p.host, open...)
	p.host = append(p.host, host...)
	p.inside = append(p.inside, slices.DeleteFunc(inside, opened)...)
	if p.facts.HostRoot.Path != "" {
		p.add(chroot.EnterRoot{}, "the container has no mount namespace that would have a root of its own")
	}
	p.add(Session{}, "a session of its own: signals typed at the starter's terminal are not for the container")
	if !p.options.NoNewKeyring {
		p.inside = append(p.inside, kernel.Call{
			Request: Keyring{p.options.ID}, Ignore: []unix.Errno{unix.ENOSYS},
			Why: "keys of the host's session are not for the container",
		})
	}
	return nil
}

// The folders that the process has open: slotProc the host's /proc, slotRoot the container's root.
const (
	slotProc kernel.Slot = "proc"
	slotRoot kernel.Slot = "root"
)

// execTerminal plans a terminal from the container's own /dev/pts.
func (p *planner) execTerminal() error {
	if console := p.terminal(); len(console) > 0 {
		if p.facts.HostRoot.Path == "" { // else it is open
			p.add(OpenFolder{Path: "/", Slot: slotRoot}, "the container's root, in which its terminals are")
		}
		p.inside = append(p.inside, console...)
	}
	return nil
}

// OpenFolder opens a folder for the calls that follow.
type OpenFolder struct {
	Path string
	Slot kernel.Slot
}

// String names it.
func (o OpenFolder) String() string { return fmt.Sprintf("open %s as $%s", o.Path, o.Slot) }

// Shell is empty: a shell keeps no folder open.
func (o OpenFolder) Shell() string { return "" }

// Assemble is openat(2).
func (o OpenFolder) Assemble(a *kernel.Assembler) {
	flags := kernel.Int(unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC)
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str(o.Path), flags, kernel.Int(0)).Into(o.Slot)
}

// WriteBelow writes a value into a file below a folder that is open.
type WriteBelow struct {
	Folder     kernel.Slot
	Path, Data string
}

// String shows value and file.
func (w WriteBelow) String() string {
	return fmt.Sprintf("write %q to %s in $%s", w.Data, w.Path, w.Folder)
}

// Shell is empty, as that of OpenFolder.
func (w WriteBelow) Shell() string { return "" }

// Assemble adds open, write and close. No mount below the folder is entered.
func (w WriteBelow) Assemble(a *kernel.Assembler) {
	const file kernel.Slot = "file"
	how := kernel.Struct(kernel.Int(unix.O_WRONLY|unix.O_CLOEXEC), kernel.Int(0), kernel.Int(unix.RESOLVE_BENEATH|unix.RESOLVE_NO_XDEV))
	a.Sys(unix.SYS_OPENAT2, kernel.FD(w.Folder), kernel.Str(w.Path), how, kernel.Int(24)).Into(file)
	a.Sys(unix.SYS_WRITE, kernel.FD(file), kernel.Bytes([]byte(w.Data)), kernel.Int(len(w.Data)))
	a.Close(file)
}

// belowProc makes calls that write to /proc write to the host's, which is open.
func belowProc(calls []kernel.Call) []kernel.Call {
	for i, c := range calls {
		w, ok := c.Request.(kernel.WriteFile)
		if path, below := strings.CutPrefix(w.Path, "/proc/"); ok && below {
			calls[i].Request = WriteBelow{slotProc, path, w.Data}
		}
	}
	return calls
}

// processFor completes the process that a caller wants to execute with what the container's own has, as runc does: what
// the caller leaves out of capabilities, limits and labels is the container's.
func processFor(own, asked *specs.Process) *specs.Process {
	p := *asked
	if p.Capabilities == nil {
		p.Capabilities = own.Capabilities
	}
	if len(p.Rlimits) == 0 {
		p.Rlimits = own.Rlimits
	}
	if p.ApparmorProfile == "" {
		p.ApparmorProfile = own.ApparmorProfile
	}
	if p.ExecCPUAffinity == nil {
		p.ExecCPUAffinity = own.ExecCPUAffinity
	}
	if p.Scheduler == nil {
		p.Scheduler = own.Scheduler
	}
	if p.IOPriority == nil {
		p.IOPriority = own.IOPriority
	}
	if p.SelinuxLabel == "" {
		p.SelinuxLabel = own.SelinuxLabel
	}
	return &p
}
