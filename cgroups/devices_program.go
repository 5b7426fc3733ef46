// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	rPending = asm.R3 // the accesses asked for that no rule has allowed yet
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
// and goes through the rules from the last to the first. A rule that fits allows its part of what is pending, and once
// nothing is, the answer is yes; or it denies some of it, and the answer is no.
func assemble(rules []DeviceRule) asm.Instructions {
	code := asm.Instructions{
		asm.LoadMem(rKind, rContext, 0, asm.Word),
		asm.Mov.Reg(rPending, rKind),
		asm.And.Imm(rKind, 0xffff),
		asm.RSh.Imm(rPending, 16),
		asm.LoadMem(rMajor, rContext, 4, asm.Word),
		asm.LoadMem(rMinor, rContext, 8, asm.Word),
	}
	for i := len(rules) - 1; i >= 0; i-- {
		code = append(code, rules[i].assemble(label(i), label(i-1))...)
	}
	return append(code,
		asm.JEq.Imm(rPending, 0, "allow").WithSymbol(label(-1)),
		asm.Mov.Imm(rAnswer, 0).WithSymbol("deny"),
		asm.Return(),
		asm.Mov.Imm(rAnswer, 1).WithSymbol("allow"),
		asm.Return(),
	)
}

// label names the place of a rule in the program; that of -1 comes after all rules.
func label(rule int) string { return fmt.Sprint("rule ", rule) }

// assemble writes one rule, which starts at a label and goes on at another when it does not decide.
func (r DeviceRule) assemble(start, next string) asm.Instructions {
	var code asm.Instructions
	switch r.Type {
	case 'b':
		code = append(code, asm.JNE.Imm(rKind, unix.BPF_DEVCG_DEV_BLOCK, next))
	case 'c':
		code = append(code, asm.JNE.Imm(rKind, unix.BPF_DEVCG_DEV_CHAR, next))
	}
	if r.Major != all {
		code = append(code, asm.JNE.Imm(rMajor, int32(r.Major), next))
	}
	if r.Minor != all {
		code = append(code, asm.JNE.Imm(rMinor, int32(r.Minor), next))
	}
	if r.Allow {
		code = append(code, asm.And.Imm(rPending, ^int32(r.Access)), asm.JEq.Imm(rPending, 0, "allow"))
	} else {
		code = append(code, asm.JSet.Imm(rPending, int32(r.Access), "deny"))
	}
	code[0] = code[0].WithSymbol(start)
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
