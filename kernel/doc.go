// SPDX-License-Identifier: Apache-2.0

// Package kernel makes kernel calls values, and runs them.
//
// Nothing in Linux is called a container. A container is a process that was started by some sixty
// kernel calls in the right order. This package holds that order as data: a [Call] says what is
// asked of the kernel, which shell command asks the same, and why; a [Program] is the list of
// calls of a whole container, in two sides:
//
//   - the host side runs in this Go process, before and after the container's process is made;
//   - the container side runs in that process, between clone(2) and execve(2).
//
// The same value is printed (stave explain), turned into a shell script (explain --shell), stopped
// at before each call (run --step), compared in tests, and executed.
//
// # How the container side runs
//
// A forked child of a Go program has one thread, no scheduler, no collector and locks that nobody
// will ever open: it must not run ordinary Go. So the parent lays out everything before it forks:
// an [Assembler] turns each [Request] into rows of a table (system call number, six arguments,
// which registers to read and write, which errors to pass over) and puts strings and structs into
// one block of memory. The child then walks that table with raw system calls (child.go) and, on
// the first error, writes the index and the errno to a socket and exits. There is no second start
// of the binary, no C and no cgo.
//
// Rules of the child, each with its reason beside the code in fork.go and child.go: its functions
// are go:nosplit (no stack growth, which would enter the scheduler) and go:norace, call nothing but
// RawSyscall6, index nothing that needs a bounds check, and never allocate. A test reads the
// compiler's assembly and fails when one of them calls into the runtime.
//
// The parent must be small when it forks: fork copies page tables, so a process with a large heap
// pays milliseconds. That is why stave-oci and the monitor are programs of their own.
//
// # System calls and sources
//
// clone(2), execve(2), prctl(2), wait4(2), close_range(2), openat(2), proc(5); the three hooks of
// package syscall that fork_linux.go links to are documented in the Go runtime (proc.go).
//
// Read first: call.go (what a call is), then program.go, assembler.go and child.go.
package kernel
