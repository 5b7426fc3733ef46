// SPDX-License-Identifier: Apache-2.0

package container

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/kernel"
	"stave/security"
)

// Settings are what a person says on the command line of stave run; [Settings.Bundle] makes an OCI
// configuration of them. The zero value and a root folder give what docker run gives.
type Settings struct {
	// ID names the container; its host name, unless Hostname says otherwise.
	ID string
	// Rootfs is the root folder. Mounts and View are those of [Bundle].
	Rootfs string
	Mounts []kernel.Call
	View   string
	// Args is the command.
	Args []string
	// Env holds NAME=value; NAME alone takes the caller's value.
	Env []string
	// User is "user", "uid", "user:group" or "uid:gid", with the names of the container.
	User string
	// WorkingDir is where the command starts; "" means "/".
	WorkingDir string
	Hostname   string
	// Volumes are "source:target" or "source:target:options", options being ro, rw and those of an
	// OCI bind mount.
	Volumes  []string
	ReadOnly bool
	// CapAdd and CapDrop change the default capabilities; ALL stands for all.
	CapAdd, CapDrop []string
	// UserNamespace gives the container a user namespace. A caller who is not root gets one always.
	UserNamespace bool
	// Terminal gives the command a terminal.
	Terminal bool
	// Limits are what the container may use.
	Limits Limits
}

// defaultPath is the PATH of a container that is given none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Bundle returns the configuration for the settings. It looks at the root folder (for users) and at
// the machine (for capabilities and id ranges), and changes nothing.
func (s Settings) Bundle() (*Bundle, error) {
	if len(s.Args) == 0 {
		return nil, fmt.Errorf("which command is to run?")
	}
	root, err := filepath.Abs(s.Rootfs)
	if err != nil {
		return nil, err
	}
	spec := Example()
	spec.Root = &specs.Root{Path: root, Readonly: s.ReadOnly}
	spec.Linux.Resources = nil
	spec.Hostname = s.ID
	if s.Hostname != "" {
		spec.Hostname = s.Hostname
	}
	spec.Mounts = dockerMounts()
	if err := s.volumes(spec); err != nil {
		return nil, err
	}
	layout, err := cgroups.Read()
	if err != nil {
		return nil, err
	}
	if err := s.process(spec, layout); err != nil {
		return nil, err
	}
	if err := s.limits(spec, layout); err != nil {
		return nil, err
	}
	if spec.Linux.Seccomp, err = security.DefaultSeccomp(spec); err != nil {
		return nil, err
	}
	if err := s.userNamespace(spec); err != nil {
		return nil, err
	}
	if err := check(spec); err != nil {
		return nil, err
	}
	return &Bundle{Dir: filepath.Dir(root), Spec: spec, Mounts: s.Mounts, View: s.View}, nil
}

// dockerMounts are the default mounts with the stricter options that docker gives /proc.
func dockerMounts() []specs.Mount {
	mounts := DefaultMounts()
	for i := range mounts {
		if mounts[i].Destination == "/proc" {
			mounts[i].Options = []string{"nosuid", "noexec", "nodev"}
		}
	}
	return mounts
}

// process fills in the command: who runs it, where, with which environment and rights.
func (s Settings) process(spec *specs.Spec, layout cgroups.Layout) error {
	user, home, err := lookUser(cmp.Or(s.View, spec.Root.Path), s.User)
	if err != nil {
		return err
	}
	if !slices.Contains(user.AdditionalGids, user.GID) {
		// As docker has it: a program that may change its group must not lose what denies something to the first (CVE-2022-36109).
		user.AdditionalGids = slices.Insert(user.AdditionalGids, 0, user.GID)
	}
	capabilities, err := s.capabilities(layout)
	if err != nil {
		return err
	}
	sets := &specs.LinuxCapabilities{Bounding: capabilities}
	if user.UID == 0 { // another user gets capabilities only by executing programs that have them
		sets.Effective, sets.Permitted = capabilities, capabilities
	}
	spec.Process = &specs.Process{
		Terminal: s.Terminal, Args: s.Args, User: user, Cwd: "/", Capabilities: sets, NoNewPrivileges: false,
	}
	if s.WorkingDir != "" {
		if !filepath.IsAbs(s.WorkingDir) {
			return fmt.Errorf("the working folder %q is not an absolute path in the container", s.WorkingDir)
		}
		spec.Process.Cwd = s.WorkingDir
	}
	spec.Process.Env = s.environment(spec.Hostname, home)
	return nil
}

// environment returns the variables of the command: later ones replace earlier ones.
func (s Settings) environment(hostname, home string) []string {
	defaults := []string{"PATH=" + defaultPath, "HOSTNAME=" + hostname, "HOME=" + home}
	if s.Terminal {
		defaults = append(defaults, "TERM=xterm")
	}
	var env []string
	for _, pair := range append(defaults, s.Env...) {
		name, _, _ := strings.Cut(pair, "=")
		for i, other := range env {
			if strings.HasPrefix(other, name+"=") {
				env = append(env[:i], env[i+1:]...)
				break
			}
		}
		env = append(env, pair)
	}
	return env
}

// capabilities applies CapAdd and CapDrop to docker's default set. Without a cgroup that forbids devices CAP_MKNOD is
// not in it: it would open the host's disk.
func (s Settings) capabilities(layout cgroups.Layout) ([]string, error) {
	facts, err := security.ReadFacts()
	if err != nil {
		return nil, err
	}
	var base []string
	for _, name := range security.DefaultCapabilities() {
		if name != "CAP_MKNOD" || layout.Kind() != cgroups.None {
			base = append(base, name)
		}
	}
	wanted, err := security.Adjust(base, s.CapAdd, s.CapDrop, facts.LastCapability)
	if err != nil || os.Geteuid() != 0 || s.UserNamespace {
		return wanted, err // in a user namespace of its own a process has them all
	}
	return s.held(wanted, missingCapabilities(facts.LastCapability))
}

// held takes out of the wanted capabilities those that root of this machine doesn't have himself, as
// in a container. One that is asked for by its name is an error.
func (s Settings) held(wanted, missing []string) ([]string, error) {
	var names []string
	for _, name := range wanted {
		if !slices.Contains(missing, name) {
			names = append(names, name)
			continue
		}
		for _, asked := range s.CapAdd {
			if n := strings.TrimPrefix(strings.ToUpper(asked), "CAP_"); n == strings.TrimPrefix(name, "CAP_") {
				return nil, fmt.Errorf("capability %s: root of this machine doesn't have it either; stave doctor lists what is missing", asked)
			}
		}
	}
	return names, nil
}
