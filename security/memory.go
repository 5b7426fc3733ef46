// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// SetMemoryPolicy says on which memory nodes the calling process and its children get memory (set_mempolicy(2), numa(7)).
type SetMemoryPolicy struct {
	// Mode is one of MPOL_* with flags MPOL_F_*.
	Mode int
	// Nodes is a list such as 0-2,4; "" where the mode has none.
	Nodes string

	set []uint64
}

// memoryModes are the names of the specification with the kernel's numbers.
func memoryModes() map[specs.MemoryPolicyModeType]int {
	return map[specs.MemoryPolicyModeType]int{
		specs.MpolDefault: unix.MPOL_DEFAULT, specs.MpolBind: unix.MPOL_BIND, specs.MpolInterleave: unix.MPOL_INTERLEAVE,
		specs.MpolWeightedInterleave: unix.MPOL_WEIGHTED_INTERLEAVE, specs.MpolPreferred: unix.MPOL_PREFERRED,
		specs.MpolPreferredMany: unix.MPOL_PREFERRED_MANY, specs.MpolLocal: unix.MPOL_LOCAL,
	}
}

// memoryFlags are the names of the specification with the kernel's bits.
func memoryFlags() map[specs.MemoryPolicyFlagType]int {
	return map[specs.MemoryPolicyFlagType]int{
		specs.MpolFNumaBalancing: unix.MPOL_F_NUMA_BALANCING, specs.MpolFRelativeNodes: unix.MPOL_F_RELATIVE_NODES,
		specs.MpolFStaticNodes: unix.MPOL_F_STATIC_NODES,
	}
}

// MemoryModes lists the names of the modes that [MemoryPolicy] knows.
func MemoryModes() []string { return strings.Split(oneOf(memoryModes()), ", ") }

// MemoryFlags lists the names of the flags that [MemoryPolicy] knows.
func MemoryFlags() []string { return strings.Split(oneOf(memoryFlags()), ", ") }

// MemoryPolicy plans linux.memoryPolicy, and nothing where it is nil. Errors are unknown modes and flags, nodes that a mode
// does not have, none where it has some, and flags that exclude each other.
func MemoryPolicy(p *specs.LinuxMemoryPolicy) ([]kernel.Call, error) {
	if p == nil {
		return nil, nil
	}
	mode, ok := memoryModes()[p.Mode]
	if !ok {
		return nil, fmt.Errorf("unknown mode %q: one of %s", p.Mode, oneOf(memoryModes()))
	}
	for _, name := range p.Flags {
		flag, ok := memoryFlags()[name]
		if !ok {
			return nil, fmt.Errorf("unknown flag %q: one of %s", name, oneOf(memoryFlags()))
		}
		mode |= flag
	}
	set, err := parseNumbers(p.Nodes)
	if err != nil {
		return nil, fmt.Errorf("nodes %q: %w", p.Nodes, err)
	}
	if err := checkMemoryPolicy(p, mode); err != nil {
		return nil, err
	}
	return []kernel.Call{{Request: SetMemoryPolicy{mode, p.Nodes, set}, Why: "on which memory nodes the command gets memory"}}, nil
}

// checkMemoryPolicy refuses what set_mempolicy(2) would refuse with EINVAL for all.
func checkMemoryPolicy(p *specs.LinuxMemoryPolicy, mode int) error {
	none := []specs.MemoryPolicyModeType{specs.MpolDefault, specs.MpolLocal}
	both := unix.MPOL_F_STATIC_NODES | unix.MPOL_F_RELATIVE_NODES
	switch {
	case slices.Contains(none, p.Mode) && p.Nodes != "":
		return fmt.Errorf("nodes %q: the mode %s has none", p.Nodes, p.Mode)
	case !slices.Contains(none, p.Mode) && p.Mode != specs.MpolPreferred && p.Nodes == "":
		return fmt.Errorf("the mode %s needs nodes", p.Mode)
	case p.Mode == specs.MpolDefault && len(p.Flags) > 0:
		return fmt.Errorf("flags %v: the mode %s has none", p.Flags, p.Mode)
	case mode&both == both:
		return fmt.Errorf("flags %v: nodes are static or relative, not both", p.Flags)
	case mode&unix.MPOL_F_NUMA_BALANCING != 0 && p.Mode != specs.MpolBind && p.Mode != specs.MpolPreferredMany:
		return fmt.Errorf("flag MPOL_F_NUMA_BALANCING is for the modes MPOL_BIND and MPOL_PREFERRED_MANY, and the mode is %s", p.Mode)
	}
	return nil
}

// String names mode, nodes and flags.
func (m SetMemoryPolicy) String() string {
	var words strings.Builder
	words.WriteString("set the memory policy " + strings.ReplaceAll(nameOf(memoryModes(), m.Mode&^unix.MPOL_MODE_FLAGS, "MPOL_"), "_", " "))
	if m.Nodes != "" {
		words.WriteString(", nodes " + m.Nodes)
	}
	for _, name := range MemoryFlags() {
		if m.Mode&memoryFlags()[specs.MemoryPolicyFlagType(name)] != 0 {
			words.WriteString(", " + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "MPOL_F_")), "_", " "))
		}
	}
	return words.String()
}

// Shell is empty: numactl(8) sets a policy for the command that it starts.
func (m SetMemoryPolicy) Shell() string { return "" }

// Assemble is set_mempolicy(2), which reads one bit less than it is told.
func (m SetMemoryPolicy) Assemble(a *kernel.Assembler) {
	if len(m.set) == 0 {
		a.Sys(unix.SYS_SET_MEMPOLICY, kernel.Int(m.Mode), kernel.Int(0), kernel.Int(0))
		return
	}
	a.Sys(unix.SYS_SET_MEMPOLICY, kernel.Int(m.Mode), bitmap(m.set), kernel.Int(64*len(m.set)+1))
}
