// SPDX-License-Identifier: Apache-2.0

package cgroups

import "encoding/binary"

// opcode is what an instruction of the kernel's BPF machine does
// (Documentation/bpf/standardization/instruction-set.rst): class, source of the operand, and operation.
type opcode byte

// The few that a program on devices is made of.
const (
	opLoad    opcode = 0x61 // dst = *(u32 *)(src + offset)
	opMove    opcode = 0xbf // dst = src
	opSet     opcode = 0xb7 // dst = imm
	opAnd     opcode = 0x57 // dst &= imm
	opShift   opcode = 0x77 // dst >>= imm
	opJump    opcode = 0x05 // go on at the label
	opJumpNot opcode = 0x55 // … if dst != imm
	opJumpAny opcode = 0x45 // … if dst & imm
	opExit    opcode = 0x95 // return R0
)

// instruction is struct bpf_insn of linux/bpf.h, with a label in place of a jump's offset:
//
//	__u8 code; __u8 dst_reg:4, src_reg:4; __s16 off; __s32 imm;
type instruction struct {
	code     opcode
	dst, src byte
	offset   int16
	imm      int32
	to       string
}

// assembly is a program while it is written.
type assembly struct {
	list []instruction
	at   map[string]int // where a label stands
}

// add appends an instruction.
func (a *assembly) add(code opcode, dst, src byte, offset int16, imm int32) {
	a.list = append(a.list, instruction{code: code, dst: dst, src: src, offset: offset, imm: imm})
}

// jump appends an instruction that goes on at a label.
func (a *assembly) jump(code opcode, dst byte, imm int32, to string) {
	a.list = append(a.list, instruction{code: code, dst: dst, imm: imm, to: to})
}

// label names the place of the next instruction.
func (a *assembly) label(name string) { a.at[name] = len(a.list) }

// encode returns the machine code, in the byte order of the processor. A jump counts from the instruction after it.
func (a *assembly) encode() []byte {
	var code []byte
	for i, in := range a.list {
		if in.to != "" {
			in.offset = int16(a.at[in.to] - i - 1)
		}
		code = append(code, byte(in.code), in.dst|in.src<<4)
		code = binary.NativeEndian.AppendUint16(code, uint16(in.offset))
		code = binary.NativeEndian.AppendUint32(code, uint32(in.imm))
	}
	return code
}
