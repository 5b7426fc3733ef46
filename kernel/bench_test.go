// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

// typical is a container side as long as most are: four hundred system calls with paths, structs and
// descriptors.
func typical() []Call {
	calls := []Call{{Request: ResetSignals{}}}
	for range 60 {
		calls = append(calls, call("open and mount", func(a *Assembler) {
			how := Struct(Int(unix.O_PATH|unix.O_CLOEXEC), Int(0), Int(unix.RESOLVE_IN_ROOT))
			a.When(a.Sys(unix.SYS_OPENAT2, FD("root"), Str("proc/self"), how, Int(24)).Into("target").Ignore(unix.ENOENT), func() {
				a.Sys(unix.SYS_STATX, FD("target"), Str(""), Int(unix.AT_EMPTY_PATH), Int(unix.STATX_INO), a.Reserve(256))
				a.Sys(unix.SYS_MOUNT, Str("tmpfs"), FDPath("target"), Str("tmpfs"), Int(unix.MS_RDONLY), Int(0))
				a.Close("target")
			})
		}))
	}
	return append(calls, shell("exit 0", "PATH=/bin", "TERM=xterm"))
}

// BenchmarkAssemble lays out a typical container side.
func BenchmarkAssemble(b *testing.B) {
	p := Program{Container: typical()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.assemble(false, map[Slot]int8{}, &registers{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStart forks a process that executes the smallest command there is, and waits for it.
func BenchmarkStart(b *testing.B) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: Exec{Args: []string{"/bin/true"}}}}}
	for b.Loop() {
		process, err := p.Start(Options{})
		if err != nil {
			b.Fatal(err)
		}
		if status, err := process.Wait(); err != nil || status.ExitStatus() != 0 {
			b.Fatal(status, err)
		}
	}
}
