// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Explain writes the filter as text, one instruction a line, jumps as line numbers.
func (f *Filter) Explain() string {
	var text strings.Builder
	for i, op := range f.Program {
		fmt.Fprintf(&text, "%4d  %s\n", i, explain(i, op))
	}
	return text.String()
}

// explain writes one instruction.
func explain(i int, op unix.SockFilter) string {
	yes, no := i+1+int(op.Jt), i+1+int(op.Jf)
	switch op.Code {
	case load:
		return "load " + field(op.K)
	case and:
		return fmt.Sprintf("and %#x", op.K)
	case jumpEqual:
		return fmt.Sprintf("if == %s goto %d else %d", constant(op.K), yes, no)
	case jumpGreater:
		return fmt.Sprintf("if > %s goto %d else %d", constant(op.K), yes, no)
	case jumpAtLeast:
		return fmt.Sprintf("if >= %s goto %d else %d", constant(op.K), yes, no)
	case jumpAlways:
		return fmt.Sprintf("goto %d", i+1+int(op.K))
	case returnResult:
		return "return " + describe(op.K)
	}
	return fmt.Sprintf("code %#x, %d, %d, %#x", op.Code, op.Jt, op.Jf, op.K)
}

// field names what is loaded.
func field(offset uint32) string {
	switch {
	case offset == offsetNumber:
		return "number"
	case offset == offsetArch:
		return "architecture"
	case offset%8 == 0:
		return fmt.Sprintf("argument %d, low half", (offset-offsetArguments)/8)
	}
	return fmt.Sprintf("argument %d, high half", (offset-offsetArguments)/8)
}

// constant writes a number, or the name of an architecture.
func constant(k uint32) string {
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, a := range abis(goarch) {
			if a.audit == k {
				return string(a.name)
			}
		}
	}
	if k > 0xffff {
		return fmt.Sprintf("%#x", k)
	}
	return fmt.Sprint(k)
}
