// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Facts are what the planner must know of the machine. [ReadFacts] looks them up.
type Facts struct {
	// LastCapability is the highest capability number of the kernel.
	LastCapability int
	// SetgroupsDenied says that the container's user namespace forbids setgroups(2) (user_namespaces(7)): its group
	// map was written without privilege.
	SetgroupsDenied bool
	// Missing are the capabilities that the caller has not, and so can give to nobody. In a user namespace of its own a
	// container has them all.
	Missing Set
	// AppArmor and SELinux say which of the two the kernel has switched on.
	AppArmor, SELinux bool
	// AppArmorFolder says that AppArmor has /proc/PID/attr/apparmor of its own (Linux 5.8).
	AppArmorFolder bool
}

// Credentials say who the container's process is and what it may, checked and ready to be planned.
type Credentials struct {
	UID, GID uint32
	// Groups are the supplementary groups. They are left alone when KeepGroups is set.
	Groups     []uint32
	KeepGroups bool
	// Bounding to Ambient are the five sets of capabilities(7).
	Bounding, Effective, Permitted, Inheritable, Ambient Set
	// NoNewPrivileges is part of the setpriv command; [NoNewPrivileges] is its call.
	NoNewPrivileges bool
	// LeftOut names the capabilities that were asked for and can't be granted: unknown ones, those that the kernel has not,
	// and those that the caller has not.
	LeftOut []string

	last int
}

// NewCredentials reads them from an OCI process. No capabilities at all means none; ambient ones that are not permitted and
// inheritable as well are left out, and so are capabilities that can't be granted, which is a reason for a warning alone
// (config.md, "Linux Process"). Errors are effective capabilities beyond the permitted, and supplementary groups where
// setgroups is denied.
func NewCredentials(p *specs.Process, f Facts) (Credentials, error) {
	c := Credentials{
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.AdditionalGids, KeepGroups: f.SetgroupsDenied,
		NoNewPrivileges: p.NoNewPrivileges, last: f.LastCapability,
	}
	if f.SetgroupsDenied && len(c.Groups) > 0 {
		return c, fmt.Errorf("supplementary groups %v: setgroups is denied in this user namespace; map them with newgidmap (subgid(5)) or ask for none", c.Groups)
	}
	if p.Capabilities == nil {
		return c, nil
	}
	for _, s := range []struct {
		set   *Set
		names []string
	}{
		{&c.Bounding, p.Capabilities.Bounding},
		{&c.Effective, p.Capabilities.Effective},
		{&c.Permitted, p.Capabilities.Permitted},
		{&c.Inheritable, p.Capabilities.Inheritable},
		{&c.Ambient, p.Capabilities.Ambient},
	} {
		*s.set = c.grant(s.names, f)
	}
	// The kernel raises only what is permitted and inheritable (PR_CAP_AMBIENT, prctl(2)). The configurations of runc spec and of
	// several engines list more, and every runtime passes over the rest.
	c.Ambient &= c.Permitted & c.Inheritable
	return c, c.check()
}

// grant returns the set of those of the named capabilities that can be granted, and notes the others.
func (c *Credentials) grant(names []string, f Facts) Set {
	var set Set
	for _, name := range names {
		n, err := ParseCapability(name)
		if err == nil && n <= f.LastCapability && !f.Missing.Has(n) {
			set |= 1 << n
		} else if !slices.Contains(c.LeftOut, name) {
			c.LeftOut = append(c.LeftOut, name)
		}
	}
	return set
}

// check refuses what capset(2) would refuse, with the names of the capabilities.
func (c Credentials) check() error {
	if beyond := c.Effective &^ c.Permitted; beyond != 0 {
		return fmt.Errorf("effective capabilities that are not permitted: %s", beyond)
	}
	return nil
}

// Become plans the change of user, in the order that keeps the rights it needs: the bounding set is cut
// while CAP_SETPCAP is there, then groups, group and user change with the permitted capabilities kept.
// [Credentials.Restrict] follows, with nothing between them but calls that the new user may make: the
// change of folder belongs there, so that it is checked as the new user.
func (c Credentials) Become() []kernel.Call {
	calls := []kernel.Call{
		{Request: dropBounding{c.Bounding, c.last}, Why: "no program the container executes may gain more than these"},
		{Request: keepCapabilities{true}, Why: "the kernel takes all capabilities when root becomes another user"},
	}
	if !c.KeepGroups {
		calls = append(calls, kernel.Call{
			Request: setGroups{c.Groups}, Why: "the groups of whoever started the container must not open files to it",
		})
	}
	return append(calls,
		kernel.Call{Request: setGroup{c.GID}, Why: "after setuid the right to change groups may be gone"},
		kernel.Call{Request: setUser{c.UID}, Why: "run as the container's user"})
}

// Restrict plans the last step: exactly these capabilities, and no more.
func (c Credentials) Restrict() []kernel.Call {
	calls := []kernel.Call{
		{Request: keepCapabilities{false}, Why: "the command's own changes of user shall take capabilities away"},
		{Request: setCapabilities{c.Effective, c.Permitted, c.Inheritable}, Why: "root in a container is root with fewer rights"},
		{Request: setAmbient{c.Ambient}, Why: "a user who is not root keeps over execve only what is ambient"},
	}
	return calls
}

// Setpriv is the one command of util-linux that does what [Credentials.Become], [NoNewPrivileges] and
// [Credentials.Restrict] do: "setpriv", its options, and no command yet. The effective and permitted sets
// have no option: execve computes them from the others.
func (c Credentials) Setpriv() []string {
	args := []string{"setpriv", "--reuid", id(c.UID), "--regid", id(c.GID)}
	switch {
	case c.KeepGroups:
		args = append(args, "--keep-groups")
	case len(c.Groups) == 0:
		args = append(args, "--clear-groups")
	default:
		args = append(args, "--groups", ids(c.Groups))
	}
	args = append(args, "--inh-caps", option(c.Inheritable, c.last), "--ambient-caps", option(c.Ambient, c.last), "--bounding-set", option(c.Bounding, c.last))
	if c.NoNewPrivileges {
		args = append(args, "--no-new-privs")
	}
	return args
}

// option writes a set for setpriv, which starts from what the process has: "-all,+chown,+kill".
func option(s Set, last int) string {
	switch s {
	case 0:
		return "-all"
	case all(last):
		return "+all"
	}
	return "-all,+" + strings.Join(short(s), ",+")
}

// id writes a user or group number.
func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// ids writes a list of numbers with commas.
func ids(list []uint32) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = id(n)
	}
	return strings.Join(words, ",")
}
