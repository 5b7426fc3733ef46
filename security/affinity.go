// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// SetAffinity lets the calling process run on some processors only (sched_setaffinity(2)).
type SetAffinity struct {
	// CPUs is a list such as 0-2,4.
	CPUs string

	set []uint64
}

// ExecAffinity plans process.execCPUAffinity for a process that joins a container: initial for before it enters the cgroup,
// final for afterwards. Both are empty where the configuration says nothing. The errors are lists that are none.
func ExecAffinity(a *specs.CPUAffinity) (initial, final []kernel.Call, err error) {
	if a == nil {
		return nil, nil, nil
	}
	for _, part := range []struct {
		name, list, why string
		into            *[]kernel.Call
	}{
		{"initial", a.Initial, "until it is in the container's cgroup, the process disturbs no other processor", &initial},
		{"final", a.Final, "of the processors that the cgroup allows, these are for the process", &final},
	} {
		set, err := parseNumbers(part.list)
		if err != nil {
			return nil, nil, fmt.Errorf("%s %q: %w", part.name, part.list, err)
		}
		if len(set) > 0 {
			*part.into = []kernel.Call{{Request: SetAffinity{part.list, set}, Why: part.why}}
		}
	}
	return initial, final, nil
}

// String lists the processors.
func (s SetAffinity) String() string { return "run on the processors " + s.CPUs }

// Shell is taskset(1) for the shell.
func (s SetAffinity) Shell() string {
	return "taskset --cpu-list --pid " + kernel.Quote(s.CPUs) + " $$"
}

// Assemble is sched_setaffinity(2).
func (s SetAffinity) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_SCHED_SETAFFINITY, kernel.Int(0), kernel.Int(8*len(s.set)), bitmap(s.set))
}

// maxNumber is the highest number of a processor or memory node that a list may have: no kernel is built for more.
const maxNumber = 8191

// parseNumbers reads a list of processors or memory nodes, such as "0-3,7", as a bitmap of 64-bit words (cpuset(7), "List
// format"). The empty list is an empty bitmap.
func parseNumbers(list string) ([]uint64, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var set []uint64
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err1 != nil || err2 != nil || first > last || last > maxNumber {
			return nil, fmt.Errorf("%q is no number and no range of numbers up to %d, such as 0-3", part, maxNumber)
		}
		for n := first; n <= last; n++ {
			for uint64(len(set)) <= n/64 {
				set = append(set, 0)
			}
			set[n/64] |= 1 << (n % 64)
		}
	}
	return set, nil
}

// bitmap lays out a bitmap for a system call.
func bitmap(set []uint64) kernel.Arg {
	var bytes []byte
	for _, word := range set {
		bytes = binary.NativeEndian.AppendUint64(bytes, word)
	}
	return kernel.Bytes(bytes)
}
