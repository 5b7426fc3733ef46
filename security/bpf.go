// SPDX-License-Identifier: Apache-2.0

package security

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Where a filter finds what it decides by (linux/seccomp.h); all machines here are little-endian, so the low half of an argument
// comes first:
//
//	struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; };
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// The instructions a filter is made of (linux/bpf_common.h): load a word, and it with a constant, compare and jump, jump, return.
const (
	load         = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	and          = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	jumpEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpGreater  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	jumpAtLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	jumpAlways   = unix.BPF_JMP | unix.BPF_JA
	returnResult = unix.BPF_RET | unix.BPF_K
)

// builder writes a program from its end to its beginning: BPF jumps only forward, so the targets of a jump are there before it.
// A place is an index into code, counted from the end of the program.
type builder struct {
	code    []unix.SockFilter
	returns map[uint32]int // the place of the nearest return of a value
}

// assembleFilter builds the program: which ABI, then a binary search over the numbers, then the conditions.
func assembleFilter(chosen []abi, rules []rule, fallback uint32) []unix.SockFilter {
	b := &builder{returns: map[uint32]int{}}
	next := b.result(unix.SECCOMP_RET_KILL_PROCESS)
	for _, a := range slices.Backward(chosen) {
		list := spans(number(rules, a), a, fallback)
		found := b.load(offsetNumber, b.search(list, a))
		next = b.jump(jumpEqual, a.audit, found, next)
	}
	b.load(offsetArch, next)
	slices.Reverse(b.code)
	return b.code
}

// add appends an instruction and returns its place.
func (b *builder) add(code uint16, jt, jf uint8, k uint32) int {
	b.code = append(b.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	return len(b.code) - 1
}

// result returns the place of an instruction that returns value. A return that is too far to jump to is written anew: that costs
// nothing when it runs, a second jump would.
func (b *builder) result(value uint32) int {
	const far = 200
	place, ok := b.returns[value]
	if !ok || len(b.code)-place > far {
		place = b.add(returnResult, 0, 0, value)
		b.returns[value] = place
	}
	return place
}

// distance is how many instructions a jump that is written now would pass over to get to place.
func (b *builder) distance(place int) int { return len(b.code) - 1 - place }

// relay returns a place near by from which the program goes on at place: another return, or a long jump.
func (b *builder) relay(place int) int {
	if target := b.code[place]; target.Code == returnResult {
		b.returns[target.K] = b.add(returnResult, 0, 0, target.K)
		return b.returns[target.K]
	}
	return b.add(jumpAlways, 0, 0, uint32(b.distance(place)))
}

// follow makes sure that the next instruction written runs into place.
func (b *builder) follow(place int) {
	if b.distance(place) != 0 {
		b.relay(place)
	}
}

// jump writes a comparison with k that goes on at one of two places. A conditional jump reaches 255 instructions; a relay for one
// place moves the other one further away, hence the margin.
func (b *builder) jump(code uint16, k uint32, yes, no int) int {
	const reach = 250
	if yes == no {
		return yes
	}
	if b.distance(yes) > reach {
		yes = b.relay(yes)
	}
	if b.distance(no) > reach {
		no = b.relay(no)
	}
	return b.add(code, uint8(b.distance(yes)), uint8(b.distance(no)), k)
}

// load writes the loading of a word before place.
func (b *builder) load(offset uint32, place int) int {
	b.follow(place)
	return b.add(load, 0, 0, offset)
}

// search writes a balanced binary search for the number that is loaded.
func (b *builder) search(list []span, a abi) int {
	if len(list) == 1 {
		return b.try(list[0], a)
	}
	middle := len(list) / 2
	high := b.search(list[middle:], a)
	low := b.search(list[:middle], a)
	return b.jump(jumpAtLeast, list[middle].from, high, low)
}

// try writes the rules of one span.
func (b *builder) try(s span, a abi) int {
	place := b.result(s.last)
	for _, r := range slices.Backward(s.rules) {
		next := place
		place = b.result(r.action)
		for _, c := range slices.Backward(r.conditions) {
			place = b.condition(c, a, place, next)
		}
	}
	return place
}

// condition writes the comparison of one argument.
func (b *builder) condition(c specs.LinuxSeccompArg, a abi, yes, no int) int {
	switch c.Op {
	case specs.OpEqualTo:
		return b.masked(c.Index, a, ^uint64(0), c.Value, yes, no)
	case specs.OpNotEqual:
		return b.masked(c.Index, a, ^uint64(0), c.Value, no, yes)
	case specs.OpMaskedEqual:
		return b.masked(c.Index, a, c.Value, c.ValueTwo, yes, no)
	case specs.OpGreaterThan:
		return b.above(jumpGreater, c, a, yes, no)
	case specs.OpLessEqual:
		return b.above(jumpGreater, c, a, no, yes)
	case specs.OpGreaterEqual:
		return b.above(jumpAtLeast, c, a, yes, no)
	default: // OpLessThan: checkConditions has seen that there is no other
		return b.above(jumpAtLeast, c, a, no, yes)
	}
}

// masked writes the test argument & mask == value, in halves of 32 bits. An ABI of 32 bits has no upper half: there a value of -1
// is meant by its lower half, as with libseccomp.
func (b *builder) masked(index uint, a abi, mask, value uint64, yes, no int) int {
	place := b.half(low(index), uint32(mask), uint32(value), yes, no)
	if a.wide {
		place = b.half(low(index)+4, uint32(mask>>32), uint32(value>>32), place, no)
	}
	return place
}

// half writes the masked test of one half. A half that no bit is asked of needs no test.
func (b *builder) half(offset, mask, value uint32, yes, no int) int {
	switch {
	case value&^mask != 0:
		return no // a bit is wanted that the mask takes away
	case mask == 0:
		return yes
	}
	place := b.jump(jumpEqual, value, yes, no)
	if place == yes {
		return yes
	}
	if mask != ^uint32(0) {
		b.follow(place)
		place = b.add(and, 0, 0, mask)
	}
	return b.load(offset, place)
}

// above writes the test argument > value, or >= value, by the code that compares the lower half: the upper half decides unless it
// is equal.
func (b *builder) above(code uint16, c specs.LinuxSeccompArg, a abi, yes, no int) int {
	place := b.load(low(c.Index), b.jump(code, uint32(c.Value), yes, no))
	if !a.wide {
		return place
	}
	place = b.jump(jumpEqual, uint32(c.Value>>32), place, no)
	place = b.jump(jumpGreater, uint32(c.Value>>32), yes, place)
	return b.load(low(c.Index)+4, place)
}

// low is the offset of the lower half of an argument.
func low(index uint) uint32 { return uint32(offsetArguments + 8*index) }
