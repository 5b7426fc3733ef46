// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// This file turns config.json into the calls of the steps before.

// config is what of config.json this runtime can do. A field that is not here is an error, not a promise: who asks for a
// protection and does not get it must know.
type config struct {
	Version     string            `json:"ociVersion"`
	Process     process           `json:"process"`
	Root        specs.Root        `json:"root"`
	Hostname    string            `json:"hostname,omitempty"`
	Mounts      []mount           `json:"mounts"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Linux       linux             `json:"linux"`

	folder string // of the bundle
}

// process is the command, and who it is.
type process struct {
	Terminal        bool                    `json:"terminal,omitempty"`
	User            specs.User              `json:"user"`
	Args            []string                `json:"args"`
	Env             []string                `json:"env"`
	Cwd             string                  `json:"cwd"`
	Capabilities    specs.LinuxCapabilities `json:"capabilities"`
	Rlimits         []specs.POSIXRlimit     `json:"rlimits,omitempty"`
	NoNewPrivileges bool                    `json:"noNewPrivileges"`
	OOMScoreAdj     *int                    `json:"oomScoreAdj,omitempty"`
}

// mount is one mount.
type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options,omitempty"`
}

// linux is what other systems don't have.
type linux struct {
	Namespaces    []specs.LinuxNamespace `json:"namespaces"`
	UIDMappings   []specs.LinuxIDMapping `json:"uidMappings,omitempty"`
	GIDMappings   []specs.LinuxIDMapping `json:"gidMappings,omitempty"`
	CgroupsPath   string                 `json:"cgroupsPath,omitempty"`
	Resources     *specs.LinuxResources  `json:"resources,omitempty"`
	Seccomp       *specs.LinuxSeccomp    `json:"seccomp,omitempty"`
	MaskedPaths   []string               `json:"maskedPaths"`
	ReadonlyPaths []string               `json:"readonlyPaths"`
}

// load reads a bundle's configuration.
func load(folder string) (*config, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(folder, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("a bundle is a folder with config.json and a root folder: %w", err)
	}
	defer file.Close()
	c := &config{folder: folder}
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return c, c.check()
}

// check refuses what would not be a container, or not the one that was asked for.
func (c *config) check() error {
	made := func(kind specs.LinuxNamespaceType) bool {
		return slices.Contains(c.Linux.Namespaces, specs.LinuxNamespace{Type: kind})
	}
	switch {
	case !strings.HasPrefix(c.Version, "1."):
		return fmt.Errorf("ociVersion %q: this is a runtime for version 1", c.Version)
	case c.Root.Path == "" || len(c.Process.Args) == 0 || !path.IsAbs(c.Process.Cwd):
		return errors.New("root.path, process.args and an absolute process.cwd must be there")
	case !made(specs.MountNamespace) || !made(specs.PIDNamespace):
		return errors.New("linux.namespaces: mount and pid must be made: the mounts would be the host's, and no signal would reach all processes")
	case c.Hostname != "" && !made(specs.UTSNamespace):
		return fmt.Errorf("hostname %q without a new uts namespace would rename another machine", c.Hostname)
	case len(c.Linux.UIDMappings)+len(c.Linux.GIDMappings) > 0 != made(specs.UserNamespace):
		return errors.New("linux.uidMappings and gidMappings belong to a new user namespace")
	case os.Geteuid() != 0 && !made(specs.UserNamespace):
		return fmt.Errorf("linux.namespaces: user %d may make the others only with a user namespace (step 09); be root, or add one", os.Geteuid())
	case c.Linux.Seccomp != nil && !c.Process.NoNewPrivileges:
		return errors.New("linux.seccomp: without process.noNewPrivileges only root may install a filter, and this runtime does so last")
	case c.Process.Terminal:
		return errors.New("process.terminal: step 22 makes terminals")
	}
	return nil
}

// plan lists the calls that make the container of a bundle. Each part of config.json is that of an earlier step.
func (c *container) plan(r request, held bool, done func()) (kernel.Program, error) {
	var none kernel.Program
	config, err := load(r.bundle)
	if err != nil {
		return none, err
	}
	c.Version, c.Bundle, c.Annotations = config.Version, config.folder, config.Annotations
	if c.Group, err = config.group(c.ID); err != nil {
		return none, fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	limits, err := c.Group.Create(config.Linux.Resources) // steps 12 and 13
	if err != nil {
		return none, fmt.Errorf("linux.resources: %w", err)
	}
	slot, born, joining := c.Group.Enter(kernel.ClonesIntoCgroups())
	views, err := config.views() // steps 03, 06 to 09
	if err != nil {
		return none, err
	}
	views.Cgroup = slot
	clone, inside := views.Plan()
	root, err := config.root(c.Group) // steps 04 and 05
	if err != nil {
		return none, err
	}
	may, filter, err := config.rights() // steps 10 and 11
	if err != nil {
		return none, err
	}
	last := command(config.Process.Args) // as in every step: descriptors, signals, the parent's death, execve
	last[3].Request = kernel.Exec{Args: config.Process.Args, Env: config.Process.Env}
	wait := []kernel.Call{{Request: kernel.Wait{Point: "the end of the set-up"}, Why: "its process is noted before it can run away"}}
	host := slices.Concat(limits, born, root.HostCalls(), clone)
	if held {
		find := kernel.Find{Args: config.Process.Args, Env: config.Process.Env}
		wait = append([]kernel.Call{{Request: find, Why: "a command that is not there is an error of create"}}, wait...)
		last[2] = kernel.Call{Request: kernel.Hold{Listener: startSlot}, Why: "it is created, and not started: this is where the two phases meet"}
		host = append([]kernel.Call{{Request: listen{c}, Why: "start will come from another process"}}, host...)
	}
	return kernel.Program{
		Host: append(host, c.meet(r.pidFile, done)...),
		Container: slices.Concat(joining, inside, []kernel.Call{
			{Request: session{}, Why: "Ctrl-C at the terminal of create is not for the container"},
			{Request: security.NonDumpable{}, Why: "while it waits, nobody inside may reach the host's program through /proc"},
			{Request: security.Umask{}, Why: "mknod takes the umask from the permissions of a device"},
		}, root.Calls(), []kernel.Call{{Request: chroot.Pivot{}, Why: "from here on no path leads to the host"}}, may, last[:2], wait, last[2:3], filter, last[3:]),
	}, nil
}

// group finds the cgroup that is to be made. An ordinary user may have none; then a limit is an error.
func (c *config) group(id string) (cgroups.Group, error) {
	layout, err := cgroups.Read()
	if err != nil {
		return cgroups.Group{}, err
	}
	name := c.Linux.CgroupsPath
	if name == "" {
		name = "/stave-step-" + id
	}
	group, err := layout.Group(name, "")
	if err != nil {
		return group, err
	}
	return group.Look()
}

// views are the namespaces to make and to join.
func (c *config) views() (namespaces.Config, error) {
	views := namespaces.Config{Hostname: c.Hostname, UIDs: ids(c.Linux.UIDMappings), GIDs: ids(c.Linux.GIDMappings)}
	if os.Geteuid() != 0 {
		views.Mapping = namespaces.Single
	}
	for _, n := range c.Linux.Namespaces {
		kind, err := namespaces.KindOf(string(n.Type))
		if err != nil {
			return views, fmt.Errorf("linux.namespaces: %w", err)
		}
		if n.Path != "" {
			views.Joins = append(views.Joins, namespaces.Join{Kind: kind, Path: n.Path})
		} else {
			views.New |= kind.Flag()
		}
	}
	views.Loopback = views.New&unix.CLONE_NEWNET != 0
	return views, nil
}

// ids are the maps of a user namespace.
func ids(list []specs.LinuxIDMapping) (maps []namespaces.IDMap) {
	for _, m := range list {
		maps = append(maps, namespaces.IDMap{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size})
	}
	return maps
}

// root is the root folder with all that is mounted there.
func (c *config) root(group cgroups.Group) (chroot.Root, error) {
	root := chroot.Root{
		Path: c.path(c.Root.Path), ReadOnly: c.Root.Readonly, WorkingDir: c.Process.Cwd,
		Devices: chroot.DefaultDevices(), Links: chroot.DefaultLinks(false), BindDevices: len(c.Linux.UIDMappings) > 0,
		Masked: c.Linux.MaskedPaths, ReadOnlyPaths: slices.Clone(c.Linux.ReadonlyPaths),
	}
	for _, m := range c.Mounts {
		point := chroot.MountPoint{Type: m.Type, Source: m.Source, Target: path.Clean("/" + m.Destination), Options: chroot.ParseOptions(m.Options)}
		switch {
		case point.Options.IDMap:
			return root, fmt.Errorf("mount on %s: this runtime makes no idmapped mounts", m.Destination)
		case m.Type == "cgroup":
			if point.Options.Flags&unix.MS_RDONLY == 0 {
				return root, fmt.Errorf("mount on %s: a command that can write to its cgroup lifts its limits; say ro", m.Destination)
			}
			root.Mounts = append(root.Mounts, limitsSeen(point, group)...)
			root.ReadOnlyPaths = append(root.ReadOnlyPaths, point.Target) // the folder of the hierarchies, too
			continue
		case point.Options.Flags&unix.MS_BIND != 0 || m.Type == "bind":
			point.Source = c.path(m.Source)
			if point.Options.Data != "" { // a misspelt ro would give the right to write
				return root, fmt.Errorf("mount on %s: unknown option %q of a bind", m.Destination, point.Options.Data)
			}
			info, err := os.Stat(point.Source)
			if err != nil {
				return root, fmt.Errorf("mount on %s: %w", m.Destination, err)
			}
			point.File = !info.IsDir()
			if point.Options.Flags&unix.MS_BIND == 0 { // the type says it
				point.Options.Flags |= unix.MS_BIND | unix.MS_REC
			}
		}
		root.Mounts = append(root.Mounts, point)
	}
	return root, nil
}

// limitsSeen shows the command its own cgroup: the folder of the one tree of version 2, or one for each hierarchy.
func limitsSeen(point chroot.MountPoint, group cgroups.Group) []chroot.MountPoint {
	list := []chroot.MountPoint{{Type: "tmpfs", Source: "tmpfs", Target: point.Target, Options: chroot.Options{Flags: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC}}}
	for _, f := range group.Folders {
		seen := chroot.MountPoint{Source: f.Path, Target: path.Join(point.Target, path.Base(f.Top)), Options: point.Options}
		seen.Options.Flags |= unix.MS_BIND
		if f.Sole {
			seen.Target, list = point.Target, nil
		}
		list = append(list, seen)
	}
	return list
}

// path is a path of the host, which may start at the bundle.
func (c *config) path(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(c.folder, name)
}

// rights are the calls that say who the command is and what it may, and those that come last of all.
func (c *config) rights() (may, filter []kernel.Call, err error) {
	facts, err := security.ReadFacts()
	if err != nil {
		return nil, nil, err
	}
	facts.SetgroupsDenied = os.Geteuid() != 0
	if len(c.Linux.UIDMappings) > 0 {
		facts.Missing = 0 // what the caller has not, root of a new user namespace has there
	}
	p := c.Process
	who, err := security.NewCredentials(&specs.Process{User: p.User, Capabilities: &p.Capabilities}, facts)
	if err != nil {
		return nil, nil, fmt.Errorf("process: %w", err)
	}
	if len(who.LeftOut) > 0 { // for config.md a reason to warn and not to refuse: it is less than was asked for
		fmt.Fprintf(os.Stderr, "21-oci-runtime: process.capabilities: %v can't be granted\n", who.LeftOut)
	}
	if may, err = security.Limits(p.Rlimits); err != nil {
		return nil, nil, fmt.Errorf("process.rlimits: %w", err)
	}
	if p.OOMScoreAdj != nil {
		score, err := security.OOMScoreAdj(*p.OOMScoreAdj)
		if err != nil {
			return nil, nil, fmt.Errorf("process.oomScoreAdj: %w", err)
		}
		may = append(may, score)
	}
	may = slices.Concat(may, who.Become(), []kernel.Call{{Request: chroot.WorkingDir{Path: p.Cwd}, Why: "entered as the user that the command is"}}, who.Restrict())
	mask := uint32(0o022)
	if p.User.Umask != nil {
		mask = *p.User.Umask
	}
	may = append(may, kernel.Call{Request: security.Umask{Mask: mask}, Why: "the command's new files are not for everybody to write"})
	if p.NoNewPrivileges {
		filter = append(filter, kernel.Call{Request: security.NoNewPrivileges{}, Why: "set-user-ID programs give nothing back"})
	}
	if c.Linux.Seccomp == nil {
		return may, filter, nil
	}
	program, err := security.Compile(c.Linux.Seccomp, runtime.GOARCH)
	if err == nil && program.Listens {
		err = errors.New("this runtime hands nothing to a listener")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("linux.seccomp: %w", err)
	}
	return may, append(filter,
		kernel.Call{Request: kernel.Announce{}, Why: "the filter may forbid to say it later"},
		kernel.Call{Request: security.Seccomp{Filter: program}, Why: "what the kernel never begins can't have a hole"}), nil
}
