// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// DeviceProgram gives a folder of version 2 a program that the kernel asks whenever a process in it, or in a folder
// below, opens a device or makes its node (Documentation/admin-guide/cgroup-v2.rst, Device controller). The program
// goes away with the folder.
type DeviceProgram struct {
	Path  string
	Rules []DeviceRule
	// Before are the rules that it replaces in a running group, and gets back when a later call fails.
	Before []DeviceRule
}

// program returns the call for it.
func program(p DeviceProgram) []kernel.Call {
	return []kernel.Call{{Request: p, Why: "version 2 asks a program which devices the container may use"}}
}

// String shows folder and rules, the last of which decide.
func (p DeviceProgram) String() string {
	var rules []string
	for _, r := range p.Rules {
		rules = append(rules, r.String())
	}
	return fmt.Sprintf("attach a device program to %s: %s", p.Path, strings.Join(rules, ", "))
}

// Shell is empty: bpftool(8) attaches programs, but there is no command that makes one of rules.
func (p DeviceProgram) Shell() string { return "" }

// Assemble adds nothing: Do attaches.
func (p DeviceProgram) Assemble(*kernel.Assembler) {}

// Do attaches the program, and takes away those of earlier rules.
func (p DeviceProgram) Do(*kernel.Host) error { return attach(p.Path, p.Rules) }

// Undo attaches the rules of before again. Those of a new group go away with its folder.
func (p DeviceProgram) Undo(*kernel.Host) error {
	if p.Before == nil {
		return nil
	}
	return attach(p.Path, p.Before)
}

// The registers of the program.
const (
	rAnswer  = 0 // what the program returns: 1 allows, 0 denies
	rContext = 1 // where struct bpf_cgroup_dev_ctx is
	rKind    = 2 // the device's type, BPF_DEVCG_DEV_BLOCK or BPF_DEVCG_DEV_CHAR
	rAsked   = 3 // the accesses, BPF_DEVCG_ACC_…
	rMajor   = 4
	rMinor   = 5
)

// assemble writes the program. It gets the request as
//
//	struct bpf_cgroup_dev_ctx {
//		__u32 access_type; /* encoded as (BPF_DEVCG_ACC_* << 16) | BPF_DEVCG_DEV_* */
//		__u32 major;
//		__u32 minor;
//	};
//
// and compares it with the sets of devices that the rules tell apart, the narrow ones first. The first that fits decides
// all of what is asked, so the verifier, which follows every path, has as many of them as there are sets.
func assemble(rules []DeviceRule) *assembly {
	a := &assembly{at: map[string]int{}}
	a.add(opLoad, rKind, rContext, 0, 0)
	a.add(opMove, rAsked, rKind, 0, 0)
	a.add(opAnd, rKind, 0, 0, 0xffff)
	a.add(opShift, rAsked, 0, 0, 16)
	a.add(opLoad, rMajor, rContext, 4, 0)
	a.add(opLoad, rMinor, rContext, 8, 0)
	for i, s := range slices.Backward(distinct(rules)) {
		next := setLabel(i - 1)
		if i == 0 {
			next = "deny" // a type that no rule knows
		}
		a.label(setLabel(i))
		s.compare(a, next)
		a.jump(opJumpAny, rAsked, ^int32(decide(rules, s)), "deny")
		a.jump(opJump, 0, 0, "allow")
	}
	a.label("deny")
	a.add(opSet, rAnswer, 0, 0, 0)
	a.add(opExit, 0, 0, 0, 0)
	a.label("allow")
	a.add(opSet, rAnswer, 0, 0, 1)
	a.add(opExit, 0, 0, 0, 0)
	return a
}

// setLabel names the place of a set in the program.
func setLabel(set int) string { return fmt.Sprint("set ", set) }

// compare goes on at next when the device is not in the set.
func (d DeviceSet) compare(a *assembly, next string) {
	kind := int32(unix.BPF_DEVCG_DEV_CHAR)
	if d.Type == 'b' {
		kind = unix.BPF_DEVCG_DEV_BLOCK
	}
	a.jump(opJumpNot, rKind, kind, next)
	if d.Major != all {
		a.jump(opJumpNot, rMajor, int32(d.Major), next)
	}
	if d.Minor != all {
		a.jump(opJumpNot, rMinor, int32(d.Minor), next)
	}
}

// machineCode turns rules into what the kernel takes.
func machineCode(rules []DeviceRule) ([]byte, error) {
	const farthest = 1<<15 - 1 // instructions that a jump can pass over
	a := assemble(rules)
	if n := len(a.list); n > farthest {
		return nil, fmt.Errorf("%d device rules make a program of %d instructions, at most %d can be: give fewer rules", len(rules), n, farthest)
	}
	return a.encode(), nil
}
