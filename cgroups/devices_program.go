// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/asm"
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
	rAnswer  = asm.R0 // what the program returns: 1 allows, 0 denies
	rContext = asm.R1 // where struct bpf_cgroup_dev_ctx is
	rKind    = asm.R2 // the device's type, BPF_DEVCG_DEV_BLOCK or BPF_DEVCG_DEV_CHAR
	rAsked   = asm.R3 // the accesses, BPF_DEVCG_ACC_…
	rMajor   = asm.R4
	rMinor   = asm.R5
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
func assemble(rules []DeviceRule) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(rKind, rContext, 0, asm.Word),
		asm.Mov.Reg(rAsked, rKind),
		asm.And.Imm(rKind, 0xffff),
		asm.RSh.Imm(rAsked, 16),
		asm.LoadMem(rMajor, rContext, 4, asm.Word),
		asm.LoadMem(rMinor, rContext, 8, asm.Word),
	}
	for i, s := range slices.Backward(distinct(rules)) {
		next := label(i - 1)
		if i == 0 {
			next = "deny" // a type that no rule knows
		}
		set := s.compare(next)
		set[0] = set[0].WithSymbol(label(i))
		code = append(append(code, set...),
			asm.JSet.Imm(rAsked, ^int32(decide(rules, s)), "deny"),
			asm.Ja.Label("allow"),
		)
	}
	return append(code,
		asm.Mov.Imm(rAnswer, 0).WithSymbol("deny"),
		asm.Return(),
		asm.Mov.Imm(rAnswer, 1).WithSymbol("allow"),
		asm.Return(),
	)
}

// label names the place of a set in the program.
func label(set int) string { return fmt.Sprint("set ", set) }

// compare goes on at next when the device is not in the set.
func (d DeviceSet) compare(next string) asm.Instructions {
	kind := int32(unix.BPF_DEVCG_DEV_CHAR)
	if d.Type == 'b' {
		kind = unix.BPF_DEVCG_DEV_BLOCK
	}
	code := asm.Instructions{asm.JNE.Imm(rKind, kind, next)}
	if d.Major != all {
		code = append(code, asm.JNE.Imm(rMajor, int32(d.Major), next))
	}
	if d.Minor != all {
		code = append(code, asm.JNE.Imm(rMinor, int32(d.Minor), next))
	}
	return code
}

// machineCode turns rules into what the kernel takes.
func machineCode(rules []DeviceRule) ([]byte, error) {
	const farthest = 1<<15 - 1 // instructions that a jump can pass over
	code := assemble(rules)
	if len(code) > farthest {
		return nil, fmt.Errorf("%d device rules make a program of %d instructions, at most %d can be: give fewer rules", len(rules), len(code), farthest)
	}
	var b bytes.Buffer
	err := code.Marshal(&b, binary.LittleEndian)
	return b.Bytes(), err
}
