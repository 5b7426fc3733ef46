// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// deviceList is what the v1 controller devices keeps for a group (Documentation/admin-guide/cgroup-v1/devices.rst): all
// is denied, or all is allowed, but for the exceptions. They have no order. Where all is denied, one exception alone
// must allow all that open(2) asks for: "c *:* r" and "c 1:3 w" don't let a process open 1:3 for both. Where all is
// allowed, any exception that has some of it denies.
type deviceList struct {
	allow      bool
	exceptions []exception
}

// exception is one entry of the list, for type 'b' or 'c'. Entries that differ in DeviceSet are independent.
type exception struct {
	DeviceSet
	Access Access
}

// listOf finds the list that decides as the ordered rules do. Where the rules leave everything allowed to most
// devices that is a list of what is denied, which a group below a restricted one could not have otherwise.
func listOf(rules []DeviceRule) (deviceList, error) {
	sets := distinct(rules)
	allowed := func(s DeviceSet) Access { return decide(rules, s) }
	denied := func(s DeviceSet) Access { return full &^ decide(rules, s) }
	some, hole := exceptions(sets, allowed)
	most, reverse := exceptions(sets, denied)
	open := allowed(DeviceSet{'b', all, all}) == full && allowed(DeviceSet{'c', all, all}) == full
	switch {
	case reverse == nil && (open || hole != nil):
		return deviceList{true, most}, nil
	case hole == nil:
		return deviceList{false, some}, nil
	}
	const cause = "linux.resources.devices: cgroup v1 keeps a list without order, which can't %s %s for %s and %s %s of it: name the devices one by one, or mount cgroup2"
	if open {
		lost := denied(reverse[0]) &^ denied(reverse[1])
		return deviceList{}, fmt.Errorf(cause, "deny", lost, reverse[0], "allow it for", reverse[1])
	}
	lost := allowed(hole[0]) &^ allowed(hole[1])
	return deviceList{}, fmt.Errorf(cause, "allow", lost, hole[0], "deny it for", hole[1])
}

// exceptions lists the sets with their accesses, without those that a wider set in the list says already. It can only add
// to what a wider set has: when a narrow one has less, the two are returned as the second result.
func exceptions(sets []DeviceSet, access func(DeviceSet) Access) (list []exception, hole []DeviceSet) {
	for _, s := range sets {
		own, said := access(s), false
		for _, wide := range list {
			switch {
			case !wide.holds(s):
			case wide.Access&^own != 0:
				return nil, []DeviceSet{wide.DeviceSet, s}
			case wide.Access == own:
				said = true
			}
		}
		if own != 0 && !said {
			list = append(list, exception{s, own})
		}
	}
	return list, nil
}

// DeviceLine is one line that the v1 controller devices takes, in devices.allow or devices.deny of the folder Path.
// Type 'a' allows or denies everything and forgets all exceptions.
type DeviceLine struct {
	Path string
	DeviceRule
}

// write returns the same as a write of a file.
func (l DeviceLine) write() kernel.WriteFile {
	file := "/devices.deny"
	if l.Allow {
		file = "/devices.allow"
	}
	return kernel.WriteFile{Path: l.Path + file, Data: fmt.Sprintf("%s %s", l.DeviceSet, l.Access)}
}

// String shows line and file.
func (l DeviceLine) String() string { return l.write().String() }

// Shell is the write.
func (l DeviceLine) Shell() string { return l.write().Shell() }

// Assemble adds the write.
func (l DeviceLine) Assemble(a *kernel.Assembler) { l.write().Assemble(a) }

// Do writes the line, and explains the two refusals that the kernel has for a good one.
func (l DeviceLine) Do(h *kernel.Host) error {
	err := l.write().Do(h)
	switch {
	case errors.Is(err, unix.EPERM) && l.Allow:
		return fmt.Errorf("%w: the cgroup above allows less itself (its devices.list): choose another with cgroupsPath, or allow only what it allows", err)
	case errors.Is(err, unix.EINVAL) && l.Type == 'a':
		return fmt.Errorf("%w: there are cgroups below it, with which the kernel keeps to the kind of list it has: remove them first", err)
	}
	return err
}

// Undo takes a line back. Lines are written only where they change something, so the opposite line does it. A line for
// everything stays: its opposite would allow too much. Of a group that is gone there is nothing to take back.
func (l DeviceLine) Undo(h *kernel.Host) error {
	if l.Type == 'a' {
		return nil
	}
	l.Allow = !l.Allow
	err := l.write().Do(h)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// lines returns the list as the rules to write, for a group of which nothing is known. Single devices come first, in the
// order of the configuration: the kernel has its list in the order in which it was written, and some look for theirs there.
func (l deviceList) lines() []DeviceRule {
	rules := []DeviceRule{{l.allow, DeviceSet{'a', all, all}, full}}
	narrow := slices.Clone(l.exceptions)
	slices.SortStableFunc(narrow, func(a, b exception) int { return b.width() - a.width() })
	for _, e := range narrow {
		rules = append(rules, DeviceRule{!l.allow, e.DeviceSet, e.Access})
	}
	return rules
}

// asNamed takes the right to make a node from exceptions that the one for all devices has already, unless a rule names it
// for just that set: the kernel's list then shows what the configuration says. To make a node only that right is asked
// for, and to open one never, so both lists decide alike.
func (l deviceList) asNamed(rules []DeviceRule) deviceList {
	if l.allow {
		return l
	}
	named := slices.Clone(l.exceptions)
	for i, e := range named {
		said := func(wide exception) bool {
			return wide.DeviceSet == DeviceSet{e.Type, all, all} && wide.Access&MakeDevice != 0
		}
		says := func(r DeviceRule) bool {
			return r.Allow && r.Access&MakeDevice != 0 && r.Major == e.Major && r.Minor == e.Minor && (r.Type == e.Type || r.Type == 'a')
		}
		if e.Access != MakeDevice && slices.ContainsFunc(l.exceptions, said) && !slices.ContainsFunc(rules, says) {
			named[i].Access &^= MakeDevice
		}
	}
	return deviceList{false, named}
}

// change returns the lines that make one list the other. Between lists of a kind, new exceptions come first, those
// that change lose before they gain, and old ones go last: each request is decided at any time by an
// exception that is part of the old or of the new list. Where exceptions deny, those that change gain before they lose.
func (l deviceList) change(to deviceList) ([]DeviceRule, error) {
	switch {
	case l.allow == to.allow:
	case to.allow && len(to.exceptions) > 0:
		return nil, errors.New("linux.resources.devices: a running cgroup v1 group that denies all devices but some can't come to allow " +
			"all but some without a moment of all: make the container anew with these rules")
	default:
		return to.lines(), nil
	}
	var first, less, more, last []DeviceRule
	add := func(list *[]DeviceRule, allow bool, s DeviceSet, a Access) {
		if a != 0 {
			*list = append(*list, DeviceRule{allow, s, a})
		}
	}
	for _, e := range to.exceptions {
		was := l.access(e.DeviceSet)
		if was == 0 {
			add(&first, !l.allow, e.DeviceSet, e.Access)
			continue
		}
		add(&less, l.allow, e.DeviceSet, was&^e.Access)
		add(&more, !l.allow, e.DeviceSet, e.Access&^was)
	}
	for _, e := range l.exceptions {
		if to.access(e.DeviceSet) == 0 {
			add(&last, l.allow, e.DeviceSet, e.Access)
		}
	}
	if l.allow {
		less, more = more, less
	}
	return slices.Concat(first, less, more, last), nil
}

// access returns what the exception for a set says, 0 if there is none.
func (l deviceList) access(s DeviceSet) Access {
	for _, e := range l.exceptions {
		if e.DeviceSet == s {
			return e.Access
		}
	}
	return 0
}

// writes returns the calls that write rules into the folder, line by line: the kernel takes one with each write.
func (f Folder) writes(rules []DeviceRule) []kernel.Call {
	var calls []kernel.Call
	for _, r := range rules {
		why := "the container may use this device"
		switch {
		case r.Type == 'a' && !r.Allow:
			why = "no device is for the container but those that follow"
		case r.Type == 'a':
			why = "every device is for the container but those that follow"
		case !r.Allow:
			why = "the container may not use this device"
		case r.Access == MakeDevice:
			why = "a node may be made, though not opened"
		}
		calls = append(calls, kernel.Call{Request: DeviceLine{f.Path, r}, Why: why})
	}
	return calls
}
