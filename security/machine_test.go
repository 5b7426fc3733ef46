// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// attempt is a system call as a filter sees it.
type attempt struct {
	number, audit uint32
	args          [6]uint64
}

// word is what a filter loads at an offset of struct seccomp_data.
func (d attempt) word(offset uint32) (uint32, error) {
	switch {
	case offset == 0:
		return d.number, nil
	case offset == 4:
		return d.audit, nil
	case offset >= 16 && offset < 64 && offset%8 == 0:
		return uint32(d.args[(offset-16)/8]), nil
	case offset >= 16 && offset < 64 && offset%8 == 4:
		return uint32(d.args[(offset-16)/8] >> 32), nil
	}
	return 0, fmt.Errorf("load at offset %d", offset)
}

// interpret runs a filter as the kernel would, and counts the instructions it executes. It knows the instructions by their
// numbers in linux/bpf_common.h, not by this package's names.
func interpret(program []unix.SockFilter, d attempt) (result uint32, steps int, err error) {
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		steps++
		op, taken := program[pc], false
		switch op.Code {
		case 0x20: // LD|W|ABS
			if a, err = d.word(op.K); err != nil {
				return 0, steps, err
			}
			continue
		case 0x54: // ALU|AND|K
			a &= op.K
			continue
		case 0x05: // JMP|JA
			pc += int(op.K)
			continue
		case 0x06: // RET|K
			return op.K, steps, nil
		case 0x15: // JMP|JEQ|K
			taken = a == op.K
		case 0x25: // JMP|JGT|K
			taken = a > op.K
		case 0x35: // JMP|JGE|K
			taken = a >= op.K
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", pc, op.Code)
		}
		if taken {
			pc += int(op.Jt)
		} else {
			pc += int(op.Jf)
		}
	}
	return 0, steps, fmt.Errorf("the program runs past its end")
}

// judge says what a profile means for a call, without a filter: by the sentences of the comment at Compile.
func judge(p *specs.LinuxSeccomp, goarch string, d attempt) uint32 {
	table, narrow := listedTable(p, goarch, d.audit)
	fallback, _ := returnValue(p.DefaultAction, p.DefaultErrnoRet)
	enosys := uint32(unix.SECCOMP_RET_ERRNO | 38)
	switch {
	case table == nil:
		return unix.SECCOMP_RET_KILL_PROCESS
	case table == arch.X86_64 && d.number >= 0x40000000:
		return enosys
	}
	highest, indirections := -1, joinedCalls()
	for _, call := range p.Syscalls {
		action, _ := returnValue(call.Action, call.ErrnoRet)
		for _, name := range call.Names {
			n, direct := table.SyscallNames[name]
			if direct {
				highest = max(highest, n)
			}
			if direct && uint32(n) == d.number && holds(call.Args, d, narrow) {
				return action
			}
			j, indirect := indirections[name]
			if table != arch.I386 || !indirect || len(call.Args) > 0 {
				continue
			}
			n = table.SyscallNames[j.through]
			highest = max(highest, n)
			if uint32(n) == d.number && d.args[0]&0xffff == j.number {
				return action
			}
		}
	}
	if fallback&0xffff0000 == unix.SECCOMP_RET_ERRNO && highest >= 0 && d.number > uint32(highest) {
		return enosys
	}
	return fallback
}

// listedTable is the table of the ABI that a call comes by, nil if the profile doesn't list it.
func listedTable(p *specs.LinuxSeccomp, goarch string, audit uint32) (table *arch.Info, narrow bool) {
	switch {
	case goarch == "amd64" && audit == 0xc000003e:
		return arch.X86_64, false
	case goarch == "amd64" && audit == 0x40000003 && slices.Contains(p.Architectures, "SCMP_ARCH_X86"):
		return arch.I386, true
	case goarch == "arm64" && audit == 0xc00000b7:
		return arch.AARCH64, false
	case goarch == "arm64" && audit == 0x40000028 && slices.Contains(p.Architectures, "SCMP_ARCH_ARM"):
		return arch.ARM, true
	}
	return nil, false
}

// holds reports whether the conditions of a rule hold.
func holds(args []specs.LinuxSeccompArg, d attempt, narrow bool) bool {
	indexes, matched := map[uint]bool{}, 0
	for _, c := range args {
		indexes[c.Index] = true
		x, value, two := d.args[c.Index], c.Value, c.ValueTwo
		if narrow {
			x, value, two = x&0xffffffff, value&0xffffffff, two&0xffffffff
		}
		if satisfies(x, c.Op, value, two) {
			matched++
		}
	}
	if len(indexes) < len(args) {
		return matched > 0
	}
	return matched == len(args)
}

// satisfies compares one argument.
func satisfies(x uint64, op specs.LinuxSeccompOperator, value, two uint64) bool {
	switch op {
	case specs.OpNotEqual:
		return x != value
	case specs.OpLessThan:
		return x < value
	case specs.OpLessEqual:
		return x <= value
	case specs.OpEqualTo:
		return x == value
	case specs.OpGreaterEqual:
		return x >= value
	case specs.OpGreaterThan:
		return x > value
	}
	return x&value == two
}
