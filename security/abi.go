// SPDX-License-Identifier: Apache-2.0

package security

import (
	_ "embed" // for syscalls.txt
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// syscallTable has one line for each system call name: the name, then its number for each ABI, - for none:
//
//	accept4 288 364 242 366
//	(name) (x86_64) (i386) (aarch64) (arm)
//
// It is text and not a map, because a map of package level is filled at every start of every program that links it.
//
//go:embed syscalls.txt
var syscallTable string

// abi is one way to enter the kernel. A machine has its own and mostly a 32-bit one from earlier days, where the same name has
// another number.
type abi struct {
	name   specs.Arch
	audit  uint32 // AUDIT_ARCH_…, by which the kernel tells a filter the ABI (linux/audit.h)
	column int    // of syscallTable
	wide   bool   // arguments have 64 bits
	x32    bool   // numbers from x32Bit on are another ABI under the same AUDIT_ARCH
	joint  bool   // socketcall(2) and ipc(2) hold the calls of sockets and System V IPC
}

// x32Bit marks the system call numbers of x32, 32-bit pointers in 64-bit mode (asm/unistd.h, __X32_SYSCALL_BIT).
const x32Bit = 0x40000000

// abis lists what a machine can run, its own ABI first; nil for a machine whose numbers are not known here.
func abis(goarch string) []abi {
	switch goarch {
	case "amd64":
		return []abi{
			{name: specs.ArchX86_64, audit: unix.AUDIT_ARCH_X86_64, column: 0, wide: true, x32: true},
			{name: specs.ArchX86, audit: unix.AUDIT_ARCH_I386, column: 1, joint: true},
		}
	case "arm64":
		return []abi{
			{name: specs.ArchAARCH64, audit: unix.AUDIT_ARCH_AARCH64, column: 2, wide: true},
			{name: specs.ArchARM, audit: unix.AUDIT_ARCH_ARM, column: 3},
		}
	}
	return nil
}

// chooseABIs picks those that a profile lists. The machine's own is always among them, as with libseccomp. X32 is understood
// but adds nothing: its calls answer ENOSYS in every filter.
func chooseABIs(listed []specs.Arch, goarch string) ([]abi, error) {
	runs := abis(goarch)
	if runs == nil {
		return nil, fmt.Errorf("seccomp: the system call numbers of %s are not known", goarch)
	}
	chosen := runs[:1]
	for _, name := range listed {
		i := slices.IndexFunc(runs, func(a abi) bool { return a.name == name })
		switch {
		case name == specs.ArchX32 && runs[0].x32:
		case i < 0:
			return nil, fmt.Errorf("seccomp: architecture %s: this machine (%s) can't run its programs", name, runs[0].name)
		case !slices.Contains(chosen, runs[i]):
			chosen = append(chosen, runs[i])
		}
	}
	return chosen, nil
}

// syscallNumbers reads one column of the table.
func syscallNumbers(column int) map[string]uint32 {
	numbers := make(map[string]uint32, 512)
	for line := range strings.Lines(syscallTable) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		for range column {
			_, rest, _ = strings.Cut(rest, " ")
		}
		word, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.ParseUint(word, 10, 32); err == nil {
			numbers[name] = uint32(n)
		}
	}
	return numbers
}

// joined says that a system call can also be reached through another one, which takes its number as first argument.
type joined struct {
	through string
	number  uint64
}

// joinedCalls lists what i386 programs may reach through socketcall(2) and ipc(2) (linux/net.h, linux/ipc.h). A filter sees of
// them only which call is meant: the arguments are in memory, so conditions on them can't be checked there.
func joinedCalls() map[string]joined {
	calls := make(map[string]joined, 34)
	for i, name := range strings.Fields("socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom " +
		"shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg") {
		calls[name] = joined{"socketcall", uint64(i + 1)}
	}
	for name, n := range map[string]uint64{
		"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
		"shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
	} {
		calls[name] = joined{"ipc", n}
	}
	return calls
}
