// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSlots is the number of registers; a power of two, so that the child can mask an index instead
// of checking it, and as many as an int8 can number. Each id-mapped mount takes one.
const maxSlots = 128

// noSlot marks an argument or result that is not in a register.
const noSlot = -1

// row is one line of the table that the child walks. It holds addresses as numbers: the memory that
// they point into is kept alive by the table, and Go's collector does not move it.
type row struct {
	nr      uintptr
	args    [6]uintptr
	from    [6]int8
	into    int8
	kind    opKind
	ignored [maxIgnored]uint16 // go on with the next row
	passed  [maxIgnored]uint16 // go on with the next call
	skip    uint32             // rows to skip on success
	next    uint32             // rows from here to the next call
	call    uint32             // which call this row belongs to
}

// registers hold what earlier rows returned.
type registers [maxSlots]uintptr

// table is an assembled program: rows, the memory they refer to, and the names of the registers.
type table struct {
	rows      []row
	memory    []byte
	slots     map[Slot]int8
	regs      *registers
	forgotten []uintptr // see planToForget
}

// layout turns assembled operations into rows.
type layout struct {
	table
	addresses []addresses // of each row
	fixes     []fix       // words of memory that hold an offset and want an address
	start     []int       // start[i] is the first row of operation i
}

// addresses tells which arguments of a row are offsets into memory that become addresses: bit i
// stands for argument i.
type addresses uint8

// fix names a word of memory and the offset it refers to.
type fix struct{ word, offset uintptr }

// newTable lays out what a has collected, for calls (whose Ignore lists become passed errors). The
// slots and registers are shared with other tables of the same program.
func newTable(a *Assembler, calls []Call, slots map[Slot]int8, regs *registers) (*table, error) {
	l := &layout{table: table{slots: slots, regs: regs}}
	l.memory = make([]byte, a.reserve, a.reserve+uintptr(len(a.ops))*32)
	l.rows = make([]row, 0, len(a.ops)*5/4)
	l.start = make([]int, len(a.ops)+1)
	l.addresses = make([]addresses, 0, cap(l.rows))
	for i, op := range a.ops {
		l.start[i] = len(l.rows)
		if err := l.place(op, &calls[op.call]); err != nil {
			return nil, fmt.Errorf("assemble %s: %w", calls[op.call], err)
		}
	}
	l.start[len(a.ops)] = len(l.rows)
	l.link(a)
	l.used()
	l.relocate()
	return &l.table, nil
}

// place appends the rows of one operation: those that prepare memory from registers, then its own.
func (l *layout) place(op *Op, call *Call) error {
	if len(op.args) > 6 || op.ignores > maxIgnored || len(call.Ignore) > maxIgnored {
		return fmt.Errorf("more than 6 arguments or %d ignored errors", maxIgnored)
	}
	r := row{nr: op.nr, kind: op.kind, into: noSlot, call: op.call, ignored: op.ignored}
	r.from = [6]int8{noSlot, noSlot, noSlot, noSlot, noSlot, noSlot}
	for i, e := range call.Ignore {
		r.passed[i] = uint16(e)
	}
	var which addresses
	for i := range op.args {
		value, slot, address, err := l.value(&op.args[i], op.call)
		if err != nil {
			return err
		}
		r.args[i], r.from[i] = value, slot
		if address {
			which |= 1 << i
		}
	}
	if op.into != "" {
		slot, err := l.slot(op.into)
		if err != nil {
			return err
		}
		r.into = slot
	}
	l.rows = append(l.rows, r)
	l.addresses = append(l.addresses, which)
	return nil
}

// value finds what a row holds for an argument: a number or an offset into memory (address is
// true), or the register to take it from.
func (l *layout) value(arg *Arg, call uint32) (n uintptr, from int8, address bool, err error) {
	switch arg.kind {
	case argInt:
		return arg.n, noSlot, false, nil
	case argSlot:
		from, err = l.slot(Slot(arg.text()))
		return 0, from, false, err
	case argMemory:
		return arg.n, noSlot, true, nil
	case argText:
		return l.put(arg.text(), 1), noSlot, true, nil
	case argBytes:
		return l.put(arg.text(), 0), noSlot, true, nil
	case argStruct:
		n, err = l.words(arg.words(), call)
		return n, noSlot, true, err
	case argPath:
		n, err = l.path(Slot(arg.text()), call)
		return n, noSlot, true, err
	}
	return 0, noSlot, false, fmt.Errorf("unknown kind of argument %d", arg.kind)
}

// slot returns the register named s, giving out a new one at its first use.
func (l *layout) slot(s Slot) (int8, error) {
	if n, ok := l.slots[s]; ok {
		return n, nil
	}
	if len(l.slots) == maxSlots {
		return 0, fmt.Errorf("more than %d slots", maxSlots)
	}
	n := int8(len(l.slots))
	l.slots[s] = n
	return n, nil
}

// put copies text and so many zeroes into memory, at a multiple of 8, and returns the offset.
func (l *layout) put(text string, zeroes int) uintptr {
	at := uintptr(len(l.memory))
	l.memory = append(l.memory, text...)
	end := (len(l.memory) + max(zeroes, 1-len(text)) + 7) &^ 7
	for len(l.memory) < end {
		l.memory = append(l.memory, 0)
	}
	return at
}

// setWord writes a machine word at an offset.
func (l *layout) setWord(at, value uintptr) {
	*(*uintptr)(unsafe.Pointer(&l.memory[at])) = value
}

// words lays out a struct; words that come from registers are stored by rows of their own.
func (l *layout) words(list []Arg, call uint32) (uintptr, error) {
	at := l.put("", 8*len(list))
	for i := range list {
		word := at + uintptr(8*i)
		n, from, address, err := l.value(&list[i], call)
		switch {
		case err != nil:
			return 0, err
		case from != noSlot:
			l.prepare(opStore, word, from, call)
		case address:
			l.fixes = append(l.fixes, fix{word, n})
		default:
			l.setWord(word, n)
		}
	}
	return at, nil
}

// path lays out "/proc/self/fd/" with room for the digits, and the row that writes them.
func (l *layout) path(s Slot, call uint32) (uintptr, error) {
	const prefix = "/proc/self/fd/"
	from, err := l.slot(s)
	if err != nil {
		return 0, err
	}
	at := l.put(prefix, 12)
	l.prepare(opDigits, at+uintptr(len(prefix)), from, call)
	return at, nil
}

// prepare appends a row that writes a register into memory before the system call that wants it.
func (l *layout) prepare(kind opKind, at uintptr, from int8, call uint32) {
	r := row{kind: kind, into: noSlot, call: call, args: [6]uintptr{at}}
	r.from = [6]int8{noSlot, from, noSlot, noSlot, noSlot, noSlot}
	l.rows = append(l.rows, r)
	l.addresses = append(l.addresses, 1)
}

// link turns skips of operations into skips of rows, and finds where each row's call ends.
func (l *layout) link(a *Assembler) {
	for i, op := range a.ops {
		own := l.start[i+1] - 1
		if op.skip > 0 {
			target := min(i+1+op.skip, len(a.ops))
			l.rows[own].skip = uint32(l.start[target] - own - 1)
		}
	}
	end := len(l.rows)
	for i := len(l.rows) - 1; i >= 0; i-- {
		if i+1 < len(l.rows) && l.rows[i+1].call != l.rows[i].call {
			end = i + 1
		}
		l.rows[i].next = uint32(end - i)
	}
}

// used notes for each opUnused which registers the rows behind it read, as a set of bits in its piece of memory.
func (l *layout) used() {
	for i := range l.rows {
		if l.rows[i].kind != opUnused {
			continue
		}
		for _, later := range l.rows[i+1:] {
			for _, from := range later.from {
				if from != noSlot {
					l.memory[l.rows[i].args[1]+uintptr(from)/8] |= 1 << (from % 8)
				}
			}
		}
	}
}

// relocate turns offsets into addresses, once memory has stopped growing.
func (l *layout) relocate() {
	if len(l.memory) == 0 {
		return
	}
	base := uintptr(unsafe.Pointer(&l.memory[0]))
	for _, f := range l.fixes {
		l.setWord(f.word, base+f.offset)
	}
	for i := range l.rows {
		for j := range l.rows[i].args {
			if l.addresses[i]&(1<<j) != 0 {
				l.rows[i].args[j] += base
			}
		}
	}
}

// errno returns an error number, or the wait status that stands for one, as an error.
func errno(n uintptr) error {
	if n >= exitBase {
		return &ExitError{unix.WaitStatus(n - exitBase)}
	}
	return unix.Errno(n)
}
