// SPDX-License-Identifier: Apache-2.0

package toolbox_test

import "testing"

// TestStopWhileStarting types Ctrl-Z the moment a job gets the terminal, when its processes may not have reached their
// execve: the shell must come back each time, and the job must go on afterwards.
func TestStopWhileStarting(t *testing.T) {
	s := startSession(t)
	s.expect(prompt())
	for range 60 {
		s.send("sleep 1000 | cat\r")
		s.foreground(false)
		s.send("\x1a")
		s.expect("[1] Stopped  sleep 1000 | cat")
		s.expect(prompt())
		s.send("fg\r")
		s.foreground(false)
		s.send("\x03")
		s.foreground(true)
		s.expect(prompt())
	}
}
