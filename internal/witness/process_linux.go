// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is what /proc/pid/stat says of a process.
type process struct {
	pid, parent int
	name, state string
}

// processesLeft describes the descendants of this process that still run, each with the namespaces it is in and this
// process is not. Those that ended are reaped.
func processesLeft() []string {
	for pid := 1; pid > 0; { // 0: none has ended; -1: there are no children
		pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil)
	}
	var phrases []string
	for _, p := range descendants(processes(), os.Getpid()) {
		phrases = append(phrases, fmt.Sprintf("process %d (%s)%s", p.pid, p.name, otherNamespaces(p.pid)))
	}
	return phrases
}

// otherNamespaces names the namespaces of a process that the calling thread is not in: " in net:[4026532240]".
func otherNamespaces(pid int) string {
	ours := homeNamespaces(0)
	var others []string
	for ns := range homeNamespaces(pid) {
		if !ours[ns] && ns != "" {
			others = append(others, ns)
		}
	}
	if len(others) == 0 {
		return ""
	}
	return " in " + strings.Join(others, " ")
}

// killDescendants ends whatever the tests left running, so that go test does not wait for their output.
func killDescendants() {
	for _, p := range descendants(processes(), os.Getpid()) {
		unix.Kill(p.pid, unix.SIGKILL)
	}
}

// processes reads the stat files of all processes.
func processes() []process {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	var all []process
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if p, ok := parseStat(string(text)); err == nil && ok {
			all = append(all, p)
		}
	}
	return all
}

// parseStat reads the first fields of proc_pid_stat(5). The name may hold blanks and parentheses:
//
//	4711 (tail) of (it) S 4242 …
//	(1)  (2)            (3)(4)
func parseStat(text string) (process, bool) {
	open, shut := strings.Index(text, " ("), strings.LastIndex(text, ") ")
	if open < 0 || shut < open {
		return process{}, false
	}
	rest := strings.Fields(text[shut+2:])
	if len(rest) < 2 {
		return process{}, false
	}
	pid, err1 := strconv.Atoi(text[:open])
	parent, err2 := strconv.Atoi(rest[1])
	return process{pid: pid, parent: parent, name: text[open+2 : shut], state: rest[0]}, err1 == nil && err2 == nil
}

// descendants are the children of a process, their children and so on, without those that have ended (Z and X).
func descendants(all []process, ancestor int) []process {
	var found []process
	for _, p := range all {
		if p.parent != ancestor {
			continue
		}
		if p.state != "Z" && p.state != "X" {
			found = append(found, p)
		}
		found = append(found, descendants(all, p.pid)...)
	}
	return found
}
