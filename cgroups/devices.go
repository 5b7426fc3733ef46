// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Access is a set of ways to use a device, in the bits that the kernel gives them (BPF_DEVCG_ACC_… of linux/bpf.h, and
// DEVCG_ACC_… of linux/device_cgroup.h).
type Access uint8

// The ways to use a device: make its node, read, write.
const (
	MakeDevice Access = 1 << iota
	ReadDevice
	WriteDevice

	full = MakeDevice | ReadDevice | WriteDevice
)

// String lists the letters that version 1 and config.json have for it: "rwm".
func (a Access) String() string {
	var letters []string
	for _, l := range accessLetters() {
		if a&l.access != 0 {
			letters = append(letters, l.letter)
		}
	}
	return strings.Join(letters, "")
}

// accessLetter is a way to use a device with its letter.
type accessLetter struct {
	letter string
	access Access
}

// accessLetters lists the letters in the order in which the kernel prints them.
func accessLetters() []accessLetter {
	return []accessLetter{{"r", ReadDevice}, {"w", WriteDevice}, {"m", MakeDevice}}
}

// all stands for every major or minor number.
const all = -1

// DeviceSet is a set of devices: a type ('b' block, 'c' character), and one major and minor number each or -1 for all.
// In a [DeviceRule] the type may be 'a', both.
type DeviceSet struct {
	Type         byte
	Major, Minor int64
}

// String shows the set as version 1 writes it: "c 136:*".
func (d DeviceSet) String() string {
	number := func(n int64) string {
		if n == all {
			return "*"
		}
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%c %s:%s", d.Type, number(d.Major), number(d.Minor))
}

// holds tells whether all of o is in d.
func (d DeviceSet) holds(o DeviceSet) bool {
	return (d.Type == 'a' || d.Type == o.Type) && (d.Major == all || d.Major == o.Major) && (d.Minor == all || d.Minor == o.Minor)
}

// DeviceRule allows or denies some ways to use some devices. Of a list, the last rule that names a device and a way
// decides; what no rule names is denied.
type DeviceRule struct {
	Allow bool
	DeviceSet
	Access Access
}

// String is "deny a *:* rwm".
func (r DeviceRule) String() string {
	word := "deny"
	if r.Allow {
		word = "allow"
	}
	return fmt.Sprintf("%s %s %s", word, r.DeviceSet, r.Access)
}

// defaultDevices are the rules that end every list, the same as runc's: the node of any device may be made, though not
// opened, and the devices that config-linux.md wants in every container may be used, with pseudo-terminals
// and the network tunnel. /dev/console is a pseudo-terminal too.
func defaultDevices() []DeviceRule {
	const terminals = 136 // UNIX98_PTY_SLAVE_MAJOR
	return []DeviceRule{
		{true, DeviceSet{'c', all, all}, MakeDevice},
		{true, DeviceSet{'b', all, all}, MakeDevice},
		{true, DeviceSet{'c', 1, 3}, full}, // null
		{true, DeviceSet{'c', 1, 5}, full}, // zero
		{true, DeviceSet{'c', 1, 7}, full}, // full
		{true, DeviceSet{'c', 1, 8}, full}, // random
		{true, DeviceSet{'c', 1, 9}, full}, // urandom
		{true, DeviceSet{'c', 5, 0}, full}, // tty
		{true, DeviceSet{'c', 5, 2}, full}, // ptmx
		{true, DeviceSet{'c', terminals, all}, full},
		{true, DeviceSet{'c', 10, 200}, full}, // net/tun
	}
}

// deviceRules checks linux.resources.devices (config-linux.md, Allowed Device list) and adds what every container has.
func deviceRules(list []specs.LinuxDeviceCgroup) ([]DeviceRule, error) {
	var rules []DeviceRule
	for i, d := range list {
		r, err := deviceRule(d)
		if err != nil {
			return nil, fmt.Errorf("linux.resources.devices[%d]: %w", i, err)
		}
		rules = append(rules, r)
	}
	return append(rules, defaultDevices()...), nil
}

// deviceRule checks one rule. The specification lets the access be left out but does not say what that means.
func deviceRule(d specs.LinuxDeviceCgroup) (DeviceRule, error) {
	const maxMajor, maxMinor = 1<<12 - 1, 1<<20 - 1 // MAJOR and MINOR of linux/kdev_t.h
	r := DeviceRule{Allow: d.Allow}
	if !slices.Contains([]string{"", "a", "b", "c"}, d.Type) {
		return r, fmt.Errorf("type %q: write \"b\" for block devices, \"c\" for character devices, \"a\" or nothing for both", d.Type)
	}
	r.Type = (d.Type + "a")[0]
	var err error
	if r.Major, err = deviceNumber("major", d.Major, maxMajor); err != nil {
		return r, err
	}
	if r.Minor, err = deviceNumber("minor", d.Minor, maxMinor); err != nil {
		return r, err
	}
	rest := d.Access
	for _, l := range accessLetters() {
		if strings.Contains(rest, l.letter) {
			r.Access |= l.access
			rest = strings.ReplaceAll(rest, l.letter, "")
		}
	}
	if r.Access == 0 || rest != "" {
		return r, fmt.Errorf("access %q: write one or more of the letters r (read), w (write) and m (mknod)", d.Access)
	}
	return r, nil
}

// deviceNumber checks a major or minor number. None at all is -1, every number.
func deviceNumber(name string, n *int64, most int64) (int64, error) {
	switch {
	case n == nil:
		return all, nil
	case *n < all || *n > most:
		return 0, fmt.Errorf("%s %d: device numbers go from 0 to %d; -1 or nothing means all", name, *n, most)
	}
	return *n, nil
}

// decide returns what ordered rules allow to do with the devices of a set, other than with those that a rule
// names more narrowly.
func decide(rules []DeviceRule, s DeviceSet) Access {
	var a Access
	for _, r := range rules {
		switch {
		case !r.holds(s):
		case r.Allow:
			a |= r.Access
		default:
			a &^= r.Access
		}
	}
	return a
}

// distinct returns the sets that rules tell apart, the wide ones first: those they name, all block and all character
// devices, and the one device in which "every minor of 5" and "minor 7 of every major" meet.
func distinct(rules []DeviceRule) []DeviceSet {
	sets := []DeviceSet{{'b', all, all}, {'c', all, all}}
	for _, r := range rules {
		for _, t := range []byte("bc") {
			s := DeviceSet{t, r.Major, r.Minor}
			if r.holds(s) && !slices.Contains(sets, s) {
				sets = append(sets, s)
			}
		}
	}
	for _, m := range slices.Clone(sets) {
		for _, n := range sets {
			meet := DeviceSet{m.Type, m.Major, n.Minor}
			if m.Type == n.Type && m.Minor == all && n.Major == all && !slices.Contains(sets, meet) {
				sets = append(sets, meet)
			}
		}
	}
	slices.SortStableFunc(sets, func(a, b DeviceSet) int { return a.width() - b.width() })
	return sets
}

// width orders sets: no set comes before one that holds it.
func (d DeviceSet) width() int {
	width := 0
	for _, n := range []int64{d.Major, d.Minor} {
		if n != all {
			width++
		}
	}
	return width
}

// Devices returns the host calls that give a new group its device rules. Rules hold in their order, the last
// one that fits decides. As in runc a list that is empty or begins with an exception starts from nothing
// allowed, and the devices every container has stay allowed whatever the list says.
//
// In version 1 they become a list without order; the error says which rules cannot be told that way. In version 2 they
// become a program. Rules on a machine that has neither are an error, no rules there are no calls.
func (g Group) Devices(rules []specs.LinuxDeviceCgroup) ([]kernel.Call, error) {
	f, ok := g.Folder("devices")
	checked, err := deviceRules(rules)
	switch {
	case err != nil:
		return nil, err
	case !ok && len(rules) == 0:
		return nil, nil
	case !ok:
		return nil, errNoDevices
	case f.Version == 2:
		return program(DeviceProgram{Path: f.Path, Rules: checked}), nil
	}
	list, err := listOf(checked)
	if err != nil {
		return nil, err
	}
	return f.writes(list.asNamed(checked).lines()), nil
}

// ChangeDevices returns the host calls that replace the device rules of a running group, which are those of old.
// At no time is anything allowed that neither the old nor the new rules allow. What both allow stays
// allowed throughout, but for one case of version 1: from all devices to some, there is a moment of none. From some
// devices to all but some is an error there, since the kernel knows no way that leads past a moment of all.
func (g Group) ChangeDevices(old, rules []specs.LinuxDeviceCgroup) ([]kernel.Call, error) {
	f, ok := g.Folder("devices")
	before, err := deviceRules(old)
	if err != nil {
		return nil, fmt.Errorf("the present rules: %w", err)
	}
	after, err := deviceRules(rules)
	switch {
	case err != nil:
		return nil, err
	case !ok && len(rules) == 0:
		return nil, nil
	case !ok:
		return nil, errNoDevices
	case slices.Equal(before, after):
		return nil, nil
	case f.Version == 2:
		return program(DeviceProgram{Path: f.Path, Rules: after, Before: before}), nil
	}
	from, err := listOf(before)
	if err != nil {
		return nil, fmt.Errorf("the present rules: %w", err)
	}
	to, err := listOf(after)
	if err != nil {
		return nil, err
	}
	lines, err := from.change(to)
	return f.writes(lines), err
}

// errNoDevices says that nothing here can hold device rules.
var errNoDevices = errors.New("linux.resources.devices: no hierarchy here limits devices: mount cgroup2, or the v1 controller devices, at /sys/fs/cgroup")
