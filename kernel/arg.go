// SPDX-License-Identifier: Apache-2.0

package kernel

import "unsafe"

// Slot names a register of the program: a place that keeps what a system call returned (most often
// a descriptor) for a later one. Host side and container side share them: what the host side opened
// before the clone is open under the same number in the child.
type Slot string

// argKind says how an argument finds its value.
type argKind uint8

const (
	argInt    argKind = iota // the number n
	argMemory                // the address of the program's memory at offset n
	argText                  // the address of a copy of text, with a NUL behind it
	argBytes                 // the address of a copy of text
	argStruct                // the address of consecutive 8-byte words
	argSlot                  // the number in the register that text names
	argPath                  // the address of "/proc/self/fd/N", N being the number in that register
)

// Arg is one argument of a system call, as data. It is small because a container has two thousand: a page of memory that
// a program touches for the first time costs more than a system call.
type Arg struct {
	data unsafe.Pointer // the first byte of the text, or the first word
	n    uintptr        // the number, the offset, or how many bytes or words there are
	kind argKind
}

// textArg returns an argument with a text.
func textArg(kind argKind, s string) Arg {
	return Arg{kind: kind, data: unsafe.Pointer(unsafe.StringData(s)), n: uintptr(len(s))}
}

// text returns the text of an argument that was made with one.
func (g *Arg) text() string { return unsafe.String((*byte)(g.data), g.n) }

// words returns the words of an argStruct.
func (g *Arg) words() []Arg { return unsafe.Slice((*Arg)(g.data), g.n) }

// Int returns a plain number: flags, sizes, descriptors such as AT_FDCWD.
func Int[T ~int | ~int32 | ~int64 | ~uint16 | ~uint32 | ~uint64 | ~uintptr](n T) Arg {
	return Arg{kind: argInt, n: uintptr(n)}
}

// Str returns the address of a NUL-terminated copy of s.
func Str(s string) Arg { return textArg(argText, s) }

// Bytes returns the address of a copy of b, which the kernel may write to.
func Bytes(b []byte) Arg { return textArg(argBytes, string(b)) }

// Strs returns the address of a NULL-terminated array of strings, as execve(2) wants it.
func Strs(s []string) Arg {
	words := make([]Arg, len(s)+1) // the last one stays the number 0
	for i, text := range s {
		words[i] = Str(text)
	}
	return Struct(words...)
}

// Struct returns the address of consecutive machine words; a word may itself be an address or come
// from a register. On the little-endian machines that Go's Linux ports of stave run on, a 32-bit
// field followed by padding is a word.
func Struct(words ...Arg) Arg {
	return Arg{kind: argStruct, data: unsafe.Pointer(unsafe.SliceData(words)), n: uintptr(len(words))}
}

// FD returns the descriptor that an earlier call left in s.
func FD(s Slot) Arg { return textArg(argSlot, string(s)) }

// FDPath returns the address of the path "/proc/self/fd/N" of the descriptor in s, for system calls
// that take only a path (mount(2)). The process needs a /proc of its own or a parent's PID namespace.
func FDPath(s Slot) Arg { return textArg(argPath, string(s)) }

// At returns the address n bytes into memory made by [Assembler.Reserve].
func (g Arg) At(n int) Arg { return Arg{kind: argMemory, n: g.n + uintptr(n)} }
