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

// Options are what the caller of the runtime asks for, beside the configuration.
type Options struct {
	// Keep is how many descriptors above 2 the command inherits (--preserve-fds).
	Keep int
	// NoPivot moves the root instead of pivoting, for a machine that runs from its initial ramfs.
	NoPivot bool
	// NoNewKeyring leaves the session keyring of the caller.
	NoNewKeyring bool
	// PidFile, if set, gets the number of the container's process before its command runs.
	PidFile string
	// Root, if set, is the folder below which the container is kept, see [Instance].
	Root string
	// ConsoleSocket, if set, is a unix socket that gets the other end of the container's terminal.
	ConsoleSocket string
	// Detach leaves the container to itself once its command runs.
	Detach bool
	// Planned, if set, is told of each call of the program before the first is done.
	Planned func(Step)
	// Hold makes the container's process wait for its start; [Create] sets it.
	Hold bool
	// Folder is the one in which the container is kept, below Root.
	Folder string
	// ID names the container, its keyring, and where the configuration has no cgroupsPath its cgroup.
	ID string
	// Systemd makes the cgroup by systemd: cgroupsPath is then slice:prefix:name.
	Systemd bool
	// Rootless leaves out limits that the caller has no cgroup for, with a notice, instead of refusing them (--rootless).
	Rootless bool
	// Notice, if set, is told what a person should know and is no error: limits that are left out, a poststop hook that failed,
	// that the kernel killed for want of memory.
	Notice func(text string)
	// Cgroups, if set, is the kind of machine to plan for, v1 or v2, instead of this one: for [Explain] only.
	Cgroups string
}

// planner builds the two lists.
type planner struct {
	bundle       *Bundle
	spec         *specs.Spec
	facts        Facts
	options      Options
	flags        uintptr // CLONE_NEW* of the new namespaces
	joined       map[namespaces.Kind]bool
	host, inside []kernel.Call
	grouping     []kernel.Call // those of the host that make the cgroup
	entering     []kernel.Call // those of the container that enter it
	cloned       []kernel.Call // what the host does right after the clone
	met          bool          // the last meeting of both sides is planned
	joins        bool          // the process joins a container that runs
	born         kernel.Slot   // the v2 folder that the process is born in
}

// Plan returns the program of a container. It looks at nothing but its arguments. An error names the
// field of the configuration that can't be done.
func Plan(b *Bundle, f Facts, o Options) (kernel.Program, error) {
	p, err := newPlan(b, f, o)
	if err != nil {
		return kernel.Program{}, err
	}
	return p.program(), nil
}

// program returns the lists.
func (p *planner) program() kernel.Program {
	return kernel.Program{Host: p.host, Container: p.inside}
}

// newPlan builds the lists.
func newPlan(b *Bundle, f Facts, o Options) (*planner, error) {
	p := &planner{bundle: b, spec: b.Spec, facts: f, options: o, joined: map[namespaces.Kind]bool{}}
	for _, part := range []func() error{
		p.cgroup, p.rdt, p.start, p.namespaces, p.netDevices, p.root, p.settings, p.enter, p.confine, p.command,
	} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add appends a call of the container side.
func (p *planner) add(r kernel.Request, why string) {
	p.inside = append(p.inside, kernel.Call{Request: r, Why: why})
}

// start plans what must come before the process changes its view of the machine.
func (p *planner) start() error {
	p.add(kernel.ResetSignals{}, "a signal ignored by the starter would stay ignored in the container")
	if score := p.spec.Process.OOMScoreAdj; score != nil {
		call, err := security.OOMScoreAdj(*score)
		if err != nil {
			return fmt.Errorf("process.oomScoreAdj: %w", err)
		}
		p.inside = append(p.inside, call)
	}
	return nil
}

// namespaces plans the clone and everything up to a process in all its namespaces.
func (p *planner) namespaces() error {
	c := namespaces.Config{Cgroup: p.born, Hostname: p.spec.Hostname, Domainname: p.spec.Domainname}
	seen := map[namespaces.Kind]bool{}
	for _, n := range p.spec.Linux.Namespaces {
		kind, err := namespaces.KindOf(string(n.Type))
		if err != nil {
			return fmt.Errorf("linux.namespaces: %w", err)
		}
		if seen[kind] {
			return fmt.Errorf("linux.namespaces: %s is there twice", n.Type)
		}
		seen[kind] = true
		if n.Path != "" {
			c.Joins = append(c.Joins, namespaces.Join{Kind: kind, Path: n.Path})
			p.joined[kind] = !p.facts.Ours[n.Path] // one that the starter is in is the host's
		} else {
			c.New |= kind.Flag()
		}
	}
	p.flags = c.New
	c.Loopback = c.New&unix.CLONE_NEWNET != 0
	if err := p.checkNamespaces(c); err != nil {
		return err
	}
	if err := p.identity(&c); err != nil {
		return err
	}
	for clock, offset := range p.spec.Linux.TimeOffsets {
		const second = 1_000_000_000
		if clock != "monotonic" && clock != "boottime" || offset.Nanosecs >= second {
			return fmt.Errorf("linux.timeOffsets: %s with %d s and %d ns: a time namespace has the clocks monotonic and boottime, and a second has less than %d ns", clock, offset.Secs, offset.Nanosecs, second)
		}
		if c.Offsets == nil {
			c.Offsets = map[string]namespaces.Offset{}
		}
		c.Offsets[clock] = namespaces.Offset{Seconds: offset.Secs, Nanoseconds: offset.Nanosecs}
	}
	if p.joined[namespaces.PID] {
		p.add(kernel.CloseUnused{Keep: p.options.Keep}, reasonUnused)
	}
	const unseen = "until execve nobody in the namespaces may look into this process or at its binary"
	host, inside := c.Plan()
	clone := slices.IndexFunc(host, func(c kernel.Call) bool { _, ok := c.Request.(kernel.Clone); return ok })
	p.host = append(p.host, slices.Insert(host, clone+1, p.cloned...)...)
	if c.New&unix.CLONE_NEWUSER == 0 {
		p.add(security.NonDumpable{}, unseen)
		p.inside = append(p.inside, inside...)
	} else { // the files through which ids are mapped belong to the user only as long as he may look
		p.inside = append(p.inside, inside...)
		p.add(security.NonDumpable{}, unseen)
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

// reasonUnused is why a process that comes to others closes what it does not need.
const reasonUnused = "one of those in the PID namespace may be allowed to trace this process, and could take descriptors of the host from it"

// checkNamespaces refuses settings whose namespace the container doesn't have: they would be made on
// the host.
func (p *planner) checkNamespaces(c namespaces.Config) error {
	has := func(k namespaces.Kind) bool { return c.New&k.Flag() != 0 || p.joined[k] }
	switch {
	case !has(namespaces.Mount) && (!p.facts.Root || p.facts.UID != 0 || has(namespaces.User)):
		return fmt.Errorf("linux.namespaces: without a mount namespace the mounts are the host's, which only root of the machine may change, and not in a user namespace: add one of type mount")
	case !has(namespaces.Mount) && strings.HasSuffix(p.spec.Linux.RootfsPropagation, "shared"), !has(namespaces.Mount) && strings.HasSuffix(p.spec.Linux.RootfsPropagation, "unbindable"):
		return fmt.Errorf("linux.rootfsPropagation %q: without a mount namespace the root's mount is the host's, and private so that it can be taken away; add a namespace of type mount", p.spec.Linux.RootfsPropagation)
	case p.spec.Hostname != "" && !has(namespaces.UTS):
		return fmt.Errorf("hostname %q without a UTS namespace would rename the host", p.spec.Hostname)
	case p.spec.Domainname != "" && !has(namespaces.UTS):
		return fmt.Errorf("domainname %q without a UTS namespace would rename the host's domain", p.spec.Domainname)
	case len(p.spec.Linux.TimeOffsets) > 0 && c.New&unix.CLONE_NEWTIME == 0:
		return fmt.Errorf("linux.timeOffsets need a new time namespace")
	case len(p.spec.Linux.UIDMappings)+len(p.spec.Linux.GIDMappings) > 0 && !has(namespaces.User):
		return fmt.Errorf("linux.uidMappings need a user namespace")
	}
	return nil
}

// identity plans the maps of a new user namespace.
func (p *planner) identity(c *namespaces.Config) error {
	if c.New&unix.CLONE_NEWUSER == 0 {
		if p.facts.UID != 0 && !p.joined[namespaces.User] {
			return fmt.Errorf("user %d can't make a container without a user namespace: add one with id maps (stave-oci spec --rootless shows how), or run as root", p.facts.UID)
		}
		return nil
	}
	c.UIDs, c.GIDs = idMaps(p.spec.Linux.UIDMappings), idMaps(p.spec.Linux.GIDMappings)
	if len(c.UIDs) == 0 || len(c.GIDs) == 0 {
		return fmt.Errorf("linux.uidMappings and linux.gidMappings: a new user namespace needs both")
	}
	if p.facts.UID == 0 {
		return nil
	}
	switch {
	case mapsOne(p.spec):
		c.Mapping = namespaces.Single
		p.facts.Security.SetgroupsDenied = true
	case p.facts.HasHelpers:
		c.Mapping = namespaces.Helpers
	default:
		return fmt.Errorf("linux.uidMappings: user %d can map more than himself only with newuidmap and newgidmap: install them (Debian: uidmap) and give him ranges in /etc/subuid and /etc/subgid", p.facts.UID)
	}
	return nil
}

// mapsOne tells whether a configuration maps one user and one group. Nobody's help is needed for that;
// the kernel then wants setgroups(2) denied (user_namespaces(7)).
func mapsOne(s *specs.Spec) bool {
	uids, gids := s.Linux.UIDMappings, s.Linux.GIDMappings
	return len(uids) == 1 && uids[0].Size == 1 && len(gids) == 1 && gids[0].Size == 1
}

// idMaps turns OCI id maps into ours.
func idMaps(list []specs.LinuxIDMapping) []namespaces.IDMap {
	var maps []namespaces.IDMap
	for _, m := range list {
		maps = append(maps, namespaces.IDMap{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size})
	}
	return maps
}

// settings plans what is written through the host's /proc, which an image can't have tampered with:
// sysctls and labels.
func (p *planner) settings() error {
	calls, err := p.sysctls()
	if err != nil {
		return err
	}
	p.inside = append(p.inside, calls...)
	return p.labels()
}

// labels plans what security modules are told about the command.
func (p *planner) labels() error {
	for _, label := range []struct {
		field, value string
		plan         func(string, security.Facts) ([]kernel.Call, error)
	}{
		{"process.apparmorProfile", p.spec.Process.ApparmorProfile, security.AppArmor},
		{"process.selinuxLabel", p.spec.Process.SelinuxLabel, security.SELinux},
	} {
		calls, err := label.plan(label.value, p.facts.Security)
		if err != nil {
			return fmt.Errorf("%s: %w", label.field, err)
		}
		if p.joins {
			calls = belowProc(calls)
		}
		p.inside = append(p.inside, calls...)
	}
	return nil
}

// enter plans the change of root.
func (p *planner) enter() error {
	if !p.own(namespaces.Mount) {
		p.add(chroot.EnterRoot{}, "pivot_root would change the root of the whole machine")
		return nil
	}
	if p.options.NoPivot {
		p.add(chroot.MoveRoot{}, "the caller asked for it: pivot_root refuses the initial ramfs")
	} else {
		p.add(chroot.Pivot{}, "from here on no path leads to the host")
	}
	if flags, err := p.propagation(); err != nil {
		return err
	} else if flags&(unix.MS_SHARED|unix.MS_UNBINDABLE) != 0 {
		p.add(chroot.Propagation{Target: "/", Host: true, Flags: flags}, "linux.rootfsPropagation")
	}
	return nil
}

// command plans the last steps: the folder to start in was entered by confine.
func (p *planner) command() error {
	if limit := p.options.Keep; limit < 0 {
		return fmt.Errorf("%d descriptors to keep", limit)
	}
	if !p.met {
		p.inside = slices.Concat(p.inside, p.meet(), p.startHooks(nil))
	}
	p.add(kernel.Exec{Args: p.spec.Process.Args, Env: p.environment()}, "the set-up process becomes the container's command")
	return nil
}

// meet plans the last meeting of both sides, once: before the filter of system calls, which may forbid it. Here a created
// container waits for its start.
func (p *planner) meet() []kernel.Call {
	const point = "the start"
	p.met = true
	p.host = append(p.host, kernel.Call{Request: kernel.Await{Point: point}, Why: "what could fail in the set-up is done but for the last steps"})
	if p.options.PidFile != "" {
		p.host = append(p.host, kernel.Call{Request: PidFile{p.options.PidFile}, Why: "the caller wants the number of the container's process"})
	}
	if p.options.Folder != "" {
		p.host = append(p.host, kernel.Call{Request: NotePid{p.options.Folder + "/" + pidName}, Why: "other commands find the container by it"})
	}
	p.host = append(p.host, kernel.Call{Request: kernel.Release{Point: point}, Why: "the caller passes signals on from here"})
	wait := kernel.Call{
		Request: kernel.Wait{Point: point},
		Why:     "signals and readers of the pid file that come once the command runs find everything in place",
	}
	if !p.options.Hold {
		return []kernel.Call{wait}
	}
	find := kernel.Find{Args: p.spec.Process.Args, Env: p.environment()}
	return []kernel.Call{
		{Request: find, Why: "a command that is not there is an error of the creation"},
		wait,
		{Request: kernel.Hold{Listener: slotStart, Keep: p.options.Keep}, Why: "created, and not yet started"},
	}
}

// environment returns the command's variables. Of a name that is there twice the last value counts, where
// the C library would take the first; and there is always a HOME, on which engines rely.
func (p *planner) environment() []string {
	var env []string
	place := map[string]int{}
	for _, pair := range p.spec.Process.Env {
		name, _, _ := strings.Cut(pair, "=")
		if i, found := place[name]; found {
			env[i] = pair
			continue
		}
		place[name] = len(env)
		env = append(env, pair)
	}
	if p.facts.Home != "" {
		env = append(env, "HOME="+p.facts.Home)
	}
	return env
}

// hasNew tells whether a namespace of the kind is made for this container.
func (p *planner) hasNew(kind namespaces.Kind) bool { return p.flags&kind.Flag() != 0 }

// own tells whether the container has a namespace of the kind that is not its starter's.
func (p *planner) own(kind namespaces.Kind) bool {
	return p.hasNew(kind) || p.joined[kind]
}
