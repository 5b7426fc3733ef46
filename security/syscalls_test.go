// SPDX-License-Identifier: Apache-2.0

package security

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/google/go-cmp/cmp"
)

// update writes golden files and the table of system calls anew.
var update = flag.Bool("update", false, "write golden files and syscalls.txt anew")

// libraryTables are the tables of the library that syscalls.txt is made from, in the order of its columns.
func libraryTables() []*arch.Info {
	return []*arch.Info{arch.X86_64, arch.I386, arch.AARCH64, arch.ARM}
}

// TestSyscallTable holds syscalls.txt against the tables it was made from.
func TestSyscallTable(t *testing.T) {
	names := map[string]bool{}
	for _, table := range libraryTables() {
		for name := range table.SyscallNames {
			names[name] = true
		}
	}
	var text strings.Builder
	text.WriteString("# System call numbers: x86_64, i386, aarch64, arm; - where there is none. go test -run SyscallTable -update makes this file.\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		text.WriteString(name)
		for _, table := range libraryTables() {
			if n, ok := table.SyscallNames[name]; ok {
				fmt.Fprintf(&text, " %d", n)
			} else {
				text.WriteString(" -")
			}
		}
		text.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile("syscalls.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(text.String(), syscallTable); diff != "" && !*update {
		t.Errorf("syscalls.txt (-want +got):\n%s", diff)
	}
}

func TestSyscallNumbers(t *testing.T) {
	for column, table := range libraryTables() {
		numbers := syscallNumbers(column)
		for name, want := range table.SyscallNames {
			if got, ok := numbers[name]; !ok || got != uint32(want) {
				t.Errorf("%s: %s is %d (%v), want %d", table.Name, name, got, ok, want)
			}
		}
		if len(numbers) != len(table.SyscallNames) {
			t.Errorf("%s: %d names, want %d", table.Name, len(numbers), len(table.SyscallNames))
		}
	}
}
