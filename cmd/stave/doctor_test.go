// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"stave/internal/witness"
)

// TestDoctorFillsItsTable reads the table as root and as an ordinary user: every finding has its state
// and three columns. AppArmor is held against the kernel.
func TestDoctorFillsItsTable(t *testing.T) {
	for name, user := range map[string]uint32{"root": 0, "ordinary user": nobody} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, "root")
			got := run(t, as(user, exec.Command(stave, "doctor")))
			if got.code != 0 || got.err != "" {
				t.Errorf("exit code %d, and it says %q", got.code, got.err)
			}
			lines := strings.Split(strings.TrimSpace(got.out), "\n")
			missing := 0
			for _, line := range lines[1 : len(lines)-1] {
				columns := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
				if len(columns) != 4 || columns[0] != "ok" && columns[0] != "missing" {
					t.Errorf("a line of doctor has not its columns: %q", line)
				}
				if columns[0] == "missing" {
					missing++
				}
				if columns[1] == "AppArmor" && (columns[0] == "ok") != hasAppArmor() {
					t.Errorf("the kernel has AppArmor: %v; doctor says %q", hasAppArmor(), line)
				}
			}
			if last := lines[len(lines)-1]; missing > 0 && !regexp.MustCompile(`^\d+ missing`).MatchString(last) {
				t.Errorf("%d are missing, and the last line is %q", missing, last)
			}
		})
	}
}

// hasAppArmor asks the kernel.
func hasAppArmor() bool {
	data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(data), "Y")
}

// TestExplainIsCompleteAndInOrder reads the calls as JSON and as text.
func TestExplainIsCompleteAndInOrder(t *testing.T) {
	witness.Need(t, "root")
	args := []string{"--hostname", "fixed", "--user-ns", "-v", "/:/host:ro", "lab", "true"}
	lines := explained(t, args...)
	seen := map[string]int{}
	for _, l := range lines {
		seen[l.Side]++
		if l.Index != seen[l.Side] || l.Call == "" || l.Why == "" {
			t.Errorf("line %+v, want number %d of its side, a call and a reason", l, seen[l.Side])
		}
	}
	for _, l := range lines {
		if l.Count != seen[l.Side] {
			t.Errorf("line %+v counts %d calls, there are %d", l, l.Count, seen[l.Side])
		}
	}
	if len(lines) < 50 || !strings.HasPrefix(lines[len(lines)-1].Call, "execute") {
		t.Errorf("%d lines, the last one %+v", len(lines), lines[len(lines)-1])
	}
	text := run(t, exec.Command(stave, append([]string{"explain"}, args...)...))
	if got := strings.Count(text.out, "\n"); got != 2*len(lines) {
		t.Errorf("the text has %d lines, want two for each of %d calls", got, len(lines))
	}
	for _, l := range lines {
		if call, _, _ := strings.Cut(l.Call, "/"); !strings.Contains(text.out, call) {
			t.Errorf("the text lacks %q", l.Call)
		}
	}
}
