// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// SetIOPriority sets the I/O priority of all processes in the caller's process group (ioprio_set(2)). The class realtime
// takes CAP_SYS_ADMIN or CAP_SYS_NICE.
type SetIOPriority struct {
	// Class is 1 for realtime, 2 for best effort, 3 for idle.
	Class int
	// Priority is from 0, the highest, to 7; the class idle has none.
	Priority int
}

// ioClasses are the names of the specification with the kernel's numbers (linux/ioprio.h).
func ioClasses() map[specs.IOPriorityClass]int {
	return map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}
}

// IOPriority plans process.ioPriority, and nothing where it is nil. Errors are unknown classes and priorities.
func IOPriority(p *specs.LinuxIOPriority) ([]kernel.Call, error) {
	if p == nil {
		return nil, nil
	}
	class, ok := ioClasses()[p.Class]
	if !ok {
		return nil, fmt.Errorf("unknown class %q: one of %s", p.Class, oneOf(ioClasses()))
	}
	if p.Priority < 0 || p.Priority > 7 {
		return nil, fmt.Errorf("priority %d: a number from 0, the highest, to 7", p.Priority)
	}
	return []kernel.Call{{Request: SetIOPriority{class, p.Priority}, Why: "when the command gets a disk, beside all others"}}, nil
}

// String names class and priority.
func (p SetIOPriority) String() string {
	return fmt.Sprintf("set the I/O priority %d of the class %s", p.Priority, nameOf(ioClasses(), p.Class, "IOPRIO_CLASS_"))
}

// Shell is ionice(1) for the shell.
func (p SetIOPriority) Shell() string {
	return fmt.Sprintf("ionice --class %d --classdata %d --pid $$", p.Class, p.Priority)
}

// Assemble is ioprio_set(2).
func (p SetIOPriority) Assemble(a *kernel.Assembler) {
	const group, classShift = 2, 13 // IOPRIO_WHO_PGRP, IOPRIO_CLASS_SHIFT
	a.Sys(unix.SYS_IOPRIO_SET, kernel.Int(group), kernel.Int(0), kernel.Int(p.Class<<classShift|p.Priority))
}
