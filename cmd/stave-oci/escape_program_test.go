// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// attacker is a container in which the program inside attacks until the test has it end.
type attacker struct {
	kept
	report string // on the host
}

// attack makes a bundle whose command is one of inside's attacks, creates the container, starts it, and waits until it attacks.
// The attack's first argument is its report.
func attack(t *testing.T, what string, args []string, changes ...change) attacker {
	t.Helper()
	dir := newBundle(t, "", append([]change{dockerLike(t), func(s *specs.Spec) {
		s.Process.Args = slices.Concat([]string{"/bin/inside", what, "/report"}, args)
	}}, changes...)...)
	putInside(t, dir)
	if err := os.Chmod(filepath.Join(dir, "rootfs"), 0o777); err != nil { // root of a user namespace reports, too
		t.Fatal(err)
	}
	a := attacker{create(t, dir), filepath.Join(dir, "rootfs/report")}
	must(t, "start", a.id)
	a.until(t, "alive", 1)
	return a
}

// putInside puts the program inside into a bundle's root.
func putInside(t *testing.T, dir string) {
	t.Helper()
	program, err := os.ReadFile(inside)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "rootfs/bin/inside"), string(program), 0o755)
}

// until waits until the attacker has counted something so often.
func (a attacker) until(t *testing.T, what string, times int) {
	t.Helper()
	witness.Until(t, fmt.Sprintf("the attacker counts %d %s: %s", times, what, a.output(t)), func() bool { return a.count(what) >= times })
}

// count is how often the attacker counted something.
func (a attacker) count(what string) int {
	text, _ := os.ReadFile(a.report)
	found := regexp.MustCompile(`[\[ ]` + what + `:(\d+)`).FindSubmatch(text)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}

// end has the attacker end, and returns its report.
func (a attacker) end(t *testing.T) string {
	t.Helper()
	put(t, a.report+".end", "", 0o644)
	a.kept.until(t, "stopped")
	text, err := os.ReadFile(a.report)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tracing adds the capability to look into other processes to those that docker gives.
func tracing(s *specs.Spec) {
	c := s.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted} {
		*set = append(slices.Clone(*set), "CAP_SYS_PTRACE")
	}
}

// entries are the commands that lead to the runtime's own program, by what has to be in the root for it (CVE-2019-5736).
func entries(t *testing.T, rootfs string) map[string][]string {
	t.Helper()
	put(t, filepath.Join(rootfs, "bin/script-of-it"), "#!/proc/self/exe\n", 0o755)
	if err := os.Symlink("/proc/self/exe", filepath.Join(rootfs, "bin/link-to-it")); err != nil {
		t.Fatal(err)
	}
	return map[string][]string{
		"itself": {"/proc/self/exe", "features"}, "link": {"/bin/link-to-it", "features"},
		"interpreter": {"/bin/script-of-it"}, "thread": {"/proc/thread-self/exe", "features"},
	}
}

// TestExecDoesNotLendItsProgram executes the runtime's own program in a container in which somebody waits for it: he keeps
// /proc/PID/exe open and tries to write to it then and later (CVE-2019-5736). He has to get hold of it at least once, or
// nothing was tried.
func TestExecDoesNotLendItsProgram(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	before := digest(t, staveOCI)
	a := attack(t, "overwrite", programFile(t), tracing)
	commands := entries(t, filepath.Join(a.bundle, "rootfs"))
	for tries := 0; a.count("kept") < 3; tries++ {
		if tries == 200 {
			t.Fatalf("after %d executions nobody has got hold of the program: %s", tries, a.end(t))
		}
		for name, command := range commands {
			if got := do(t, append([]string{"exec", a.id}, command...)...); got.code == 255 {
				t.Fatalf("%s was not executed: %+v", name, got)
			}
		}
	}
	checkUnspoilt(t, a, before)
}

// programFile names the file of the runtime's program by device and inode.
func programFile(t *testing.T) []string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(staveOCI, &stat); err != nil {
		t.Fatal(err)
	}
	return []string{fmt.Sprint(stat.Dev), fmt.Sprint(stat.Ino)}
}

// checkUnspoilt ends an attacker on the program, who must not have written to it.
func checkUnspoilt(t *testing.T, a attacker, before string) {
	t.Helper()
	report := a.end(t)
	t.Log(report)
	if a.count("written") > 0 || digest(t, staveOCI) != before {
		t.Fatalf("the host's program was written to: %s", report)
	}
}

// TestStartDoesNotLendItsProgram starts a container whose command is the runtime's own program, while another container that
// has joined its PID namespace, or has that of the host as it does, waits for it (CVE-2019-5736).
func TestStartDoesNotLendItsProgram(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	before := digest(t, staveOCI)
	for name, hosts := range map[string]bool{"joined": false, "host's": true} {
		t.Run(name, func(t *testing.T) {
			tries := 20
			if testing.Short() {
				tries = 5
			}
			for held := 0; tries > 0 && held < 2 && !t.Failed(); tries-- {
				held += startBeside(t, hosts, before)
			}
		})
	}
}

// startBeside does it once, and returns how often the attacker got hold of the program.
func startBeside(t *testing.T, hosts bool, before string) int {
	t.Helper()
	kind := func(*specs.Spec) {}
	if hosts {
		kind = without(specs.PIDNamespace)
	}
	dir := newBundle(t, "", dockerLike(t), kind, func(s *specs.Spec) { s.Process.Args = []string{"/bin/script-of-it"} })
	entries(t, filepath.Join(dir, "rootfs"))
	victim := create(t, dir)
	if !hosts {
		kind = joins(specs.PIDNamespace, victim.pid)
	}
	a := attack(t, "overwrite", programFile(t), kind)
	do(t, "start", victim.id)
	victim.until(t, "stopped")
	checkUnspoilt(t, a, before) // of a namespace that is joined, all have ended with its first
	return a.count("kept")
}
