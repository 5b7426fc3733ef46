// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What the guest writes to the status port, a line each:
//
//	started          the command runs
//	exit 1           it ended with this code, and all it printed has been handed over
//	error mount …    the guest could not get that far
const (
	statusStarted = "started"
	statusExit    = "exit "
	statusError   = "error "
)

// outcome is what the launcher saw of one boot.
type outcome struct {
	started bool   // the command did
	ended   bool   // the command did, with the code
	code    int    // of the command
	guest   string // the guest's own error
	console string // the last lines of the kernel's console
	stopped string // why the launcher ended QEMU; empty: it did not
	final   bool   // it was told to: no second try
	qemu    string // what QEMU said, and its exit code if that isn't 0
}

// add takes in one line of the status port.
func (o *outcome) add(line string) {
	line = strings.TrimSpace(line)
	switch {
	case line == statusStarted:
		o.started = true
	case strings.HasPrefix(line, statusExit):
		if code, err := strconv.Atoi(line[len(statusExit):]); err == nil {
			o.code, o.ended = code, true
		}
	case strings.HasPrefix(line, statusError):
		o.guest = line[len(statusError):]
	}
}

// problem says what went wrong with the machine, or nothing. An exit code counts even if QEMU had to be ended after it.
func (o *outcome) problem() string {
	when := "before the command started"
	if o.started {
		when = "while the command ran"
	}
	switch {
	case o.ended:
		return ""
	case o.guest != "":
		return "the guest could not run the command: " + o.guest
	case strings.Contains(o.console, "Kernel panic"):
		return "the kernel panicked " + when
	case o.stopped != "":
		return o.stopped + " " + when
	}
	return "the guest died without an exit status " + when
}

// again says whether a second try makes sense: the command was not started, nobody asked to stop, and the guest itself
// knows no reason, which would be the same next time.
func (o *outcome) again() bool {
	return o.problem() != "" && !o.started && !o.final && o.guest == ""
}

// describe is the problem with all that was seen of it.
func (o *outcome) describe() string {
	var b strings.Builder
	b.WriteString(o.problem())
	for _, part := range []struct{ name, text string }{{"QEMU", o.qemu}, {"console", lastLines(o.console, 60)}} {
		for line := range strings.Lines(part.text) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				fmt.Fprintf(&b, "\n  %s: %s", part.name, line)
			}
		}
	}
	return b.String()
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// hung says that a boot took too long.
func hung(limit time.Duration) string { return fmt.Sprintf("the boot hung: stopped after %v", limit) }

// late says that the command took too long.
func late(limit time.Duration) string {
	return fmt.Sprintf("the time was over: stopped after %v", limit)
}
