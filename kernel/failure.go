// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// KilledError says that a signal ended the container's process during its set-up.
type KilledError struct{ Signal unix.Signal }

// Error names the signal.
func (e *KilledError) Error() string {
	return fmt.Sprintf("the container's process was killed during its set-up: %v", e.Signal)
}

// died says how the container's process ended before it could execute its command.
func (h *Host) died() error {
	status, err := waitFor(h.pid)
	h.pid = 0
	switch {
	case err != nil:
		return fmt.Errorf("wait for the container's process: %w", err)
	case status.Signaled():
		return &KilledError{status.Signal()}
	}
	return fmt.Errorf("the container's process ended during its set-up with code %d", status.ExitStatus())
}

// fail leaves nothing behind: the child is killed and reaped, and the first n calls of the host
// side are undone in reverse. Errors of the clean-up are joined to err.
func (h *Host) fail(n int, err error) error {
	if h.pid > 0 {
		if e := unix.Kill(h.pid, syscall.SIGKILL); e != nil && e != unix.ESRCH {
			err = errors.Join(err, fmt.Errorf("kill %d: %w", h.pid, e))
		}
		if _, e := waitFor(h.pid); e != nil && e != unix.ECHILD {
			err = errors.Join(err, fmt.Errorf("wait for %d: %w", h.pid, e))
		}
	}
	for i := n - 1; i >= 0; i-- {
		if u, ok := h.program.Host[i].Request.(Undoer); ok {
			if e := u.Undo(h); e != nil {
				err = errors.Join(err, fmt.Errorf("undo %s: %w", h.program.Host[i], e))
			}
		}
	}
	return err
}

// close closes what the host side opened: its end of the control socket, and the descriptors in
// slots except those the caller gave.
func (h *Host) close() {
	if h.control >= 0 {
		unix.Close(h.control)
	}
	for s, n := range h.slots {
		if _, given := h.options.Slots[s]; !given && h.regs[n] > 2 {
			unix.Close(int(h.regs[n]))
		}
	}
	runtime.KeepAlive(h.inside)
}
