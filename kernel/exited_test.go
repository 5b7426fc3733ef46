// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// aside is a request that runs a shell script in a process of its own and wants it to end well.
type aside struct{ script string }

func (s aside) String() string { return "run " + s.script }
func (s aside) Shell() string  { return s.script }

// Assemble forks, executes, waits, and looks at the status.
func (s aside) Assemble(a *Assembler) {
	const child Slot = "child"
	status := a.Reserve(8)
	args := []string{"/bin/sh", "-c", s.script}
	a.Aside(child, func() { a.Exec(args[:1], args, nil) })
	a.Sys(unix.SYS_WAIT4, FD(child), status, Int(0), Int(0))
	a.Exited(status)
}

// Report says who speaks.
func (s aside) Report(_ *Host, err error) error { return errors.Join(errors.New("reported"), err) }

// TestExited runs scripts aside: a good end lets the program go on, any other one ends it with its status.
func TestExited(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0": "", "exit 3": "exit code 3", "exit 255": "exit code 255", "kill -9 $$": "killed by SIGKILL",
	} {
		p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: aside{script}}, shell("exit 5")}}
		process, err := p.Start(Options{})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", script, err)
			} else if status, err := process.Wait(); err != nil || status.ExitStatus() != 5 {
				t.Errorf("%s: the command ended with %d %v", script, status.ExitStatus(), err)
			}
			continue
		}
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Error() != want {
			t.Errorf("%s: %v, want %s", script, err, want)
		}
		var call *CallError
		if !errors.As(err, &call) || call.Index != 1 || call.Err.Error() != "reported\n"+want {
			t.Errorf("%s: the error %q does not name the call, or not what it reported", script, err)
		}
	}
}
