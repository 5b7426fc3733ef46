// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"encoding/binary"
	"testing"
)

// interpret runs machine code of a device program for a request, and tells whether it allows it. It knows the few
// instructions (Documentation/bpf/standardization/instruction-set.rst) that programs on devices are made of, and
// fails the test at any other, at a jump backwards, and at an end without an answer.
func interpret(t *testing.T, code []byte, q request) bool {
	t.Helper()
	kinds := map[byte]uint32{'b': 1, 'c': 2}
	asked := [3]uint32{uint32(q.access)<<16 | kinds[q.Type], uint32(q.Major), uint32(q.Minor)}
	const unset = 0xdead_beef_dead_beef
	registers := [11]uint64{unset, unset, unset, unset, unset, unset, unset, unset, unset, unset, unset}
	for pc := 0; pc*8 < len(code); pc++ {
		ins := code[pc*8 : pc*8+8]
		offset := int(int16(binary.LittleEndian.Uint16(ins[2:])))
		imm := uint64(int64(int32(binary.LittleEndian.Uint32(ins[4:]))))
		dst, src := &registers[ins[1]&15], registers[ins[1]>>4]
		jump := false
		switch ins[0] {
		case 0x61: // LDX W MEM, of the context in register 1
			if ins[1]>>4 != 1 || offset%4 != 0 {
				t.Fatalf("instruction %d loads from elsewhere: % x", pc, ins)
			}
			*dst = uint64(asked[offset/4])
		case 0xbf: // MOV64 X
			*dst = src
		case 0xb7: // MOV64 K
			*dst = imm
		case 0x57: // AND64 K
			*dst &= imm
		case 0x77: // RSH64 K
			*dst >>= imm
		case 0x05: // JA
			jump = true
		case 0x55: // JNE K
			jump = *dst != imm
		case 0x45: // JSET K
			jump = *dst&imm != 0
		case 0x95: // EXIT
			if registers[0] > 1 {
				t.Fatalf("the answer is %#x", registers[0])
			}
			return registers[0] == 1
		default:
			t.Fatalf("instruction %d is unknown: % x", pc, ins)
		}
		if jump && offset < 0 {
			t.Fatalf("instruction %d jumps back", pc)
		}
		if jump {
			pc += offset
		}
	}
	t.Fatal("the program ends without an answer")
	return false
}
