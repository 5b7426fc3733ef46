// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// NoNewPrivileges makes execve give no new rights, by set-user-ID bits or file capabilities, to this process and all
// that descend from it (PR_SET_NO_NEW_PRIVS, prctl(2)). There is no way back.
type NoNewPrivileges struct{}

// String says what it does.
func (NoNewPrivileges) String() string { return "allow no new privileges" }

// Shell is empty: see [Credentials.Setpriv].
func (NoNewPrivileges) Shell() string { return "" }

// Assemble adds the prctl, whose unused arguments must be 0.
func (NoNewPrivileges) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_SET_NO_NEW_PRIVS), kernel.Int(1), kernel.Int(0), kernel.Int(0), kernel.Int(0))
}

// NonDumpable keeps others out of the calling process: /proc/PID/exe, mem and fd of it belong to root and can't be opened
// without CAP_SYS_PTRACE over the user namespace it came from (PR_SET_DUMPABLE, prctl(2); ptrace(2), access mode checking).
// It comes before the process joins a namespace in which others live, and after what a process without privilege writes
// into its own /proc files (id maps, oom_score_adj), since those belong to root as well then. execve ends it.
type NonDumpable struct{}

// String says what it does.
func (NonDumpable) String() string { return "let nobody look into this process" }

// Shell is empty: a script is no binary of the host's that could be reached through it.
func (NonDumpable) Shell() string { return "" }

// Assemble adds the prctl.
func (NonDumpable) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_SET_DUMPABLE), kernel.Int(0), kernel.Int(0), kernel.Int(0), kernel.Int(0))
}

// keepCapabilities says whether a change of the user IDs to something else than 0 leaves the permitted capabilities
// alone (PR_SET_KEEPCAPS, prctl(2)).
type keepCapabilities struct{ On bool }

// String says what it does.
func (k keepCapabilities) String() string {
	if k.On {
		return "keep the permitted capabilities when the user changes"
	}
	return "forget the capabilities at the next change of user"
}

// Shell is empty: see [Credentials.Setpriv].
func (keepCapabilities) Shell() string { return "" }

// Assemble adds the prctl.
func (k keepCapabilities) Assemble(a *kernel.Assembler) {
	value := 0
	if k.On {
		value = 1
	}
	a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_SET_KEEPCAPS), kernel.Int(value), kernel.Int(0), kernel.Int(0), kernel.Int(0))
}

// Umask sets which permission bits new files don't get (umask(2)).
type Umask struct{ Mask uint32 }

// String shows the mask in octal.
func (u Umask) String() string {
	return fmt.Sprintf("take the permissions %04o from new files", u.Mask&0o777)
}

// Shell is the shell's own command.
func (u Umask) Shell() string { return fmt.Sprintf("umask %04o", u.Mask&0o777) }

// Assemble adds umask, of which the kernel uses the nine permission bits.
func (u Umask) Assemble(a *kernel.Assembler) { a.Sys(unix.SYS_UMASK, kernel.Int(u.Mask&0o777)) }

// OOMScoreAdj plans how soon the kernel kills the process when memory runs out: from -1000 (never) to 1000 (first), see
// proc_pid_oom_score_adj(5). To go below the inherited value takes CAP_SYS_RESOURCE in the first user namespace.
func OOMScoreAdj(score int) (kernel.Call, error) {
	if score < -1000 || score > 1000 {
		return kernel.Call{}, fmt.Errorf("oom_score_adj %d is outside -1000 to 1000", score)
	}
	return kernel.Call{
		Request: kernel.WriteFile{Path: "/proc/self/oom_score_adj", Data: strconv.Itoa(score)},
		Why:     "say whom the kernel should kill first when memory runs out",
	}, nil
}
