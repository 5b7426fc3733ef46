// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ExitError says how a process ended that the container side had made aside and that should have ended well.
type ExitError struct{ Status unix.WaitStatus }

// Error is "exit code 3" or "killed by SIGKILL".
func (e *ExitError) Error() string {
	if e.Status.Signaled() {
		return "killed by " + unix.SignalName(e.Status.Signal())
	}
	return fmt.Sprintf("exit code %d", e.Status.ExitStatus())
}

// A Reporter is a request of the container side that left word of why it failed, in a descriptor that both sides have.
type Reporter interface {
	// Report returns the error with that word. The host side calls it when the request failed with err.
	Report(h *Host, err error) error
}

// exitBase is added to a wait status where an errno is expected: no errno is as large.
const exitBase = 1 << 16

// Exited appends a check: the program goes on only when the status that wait4(2) stored at status is that of a process
// which ended with code 0, and fails with an [*ExitError] otherwise.
func (a *Assembler) Exited(status Arg) *Op { return a.add(opExited, 0, status) }
