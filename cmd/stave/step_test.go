// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// line is one call as stave explain --json writes it.
type line struct {
	Side         string
	Index, Count int
	Call, Why    string
	Shell        string
}

// explained returns the calls of a container.
func explained(t *testing.T, args ...string) []line {
	t.Helper()
	got := run(t, exec.Command(stave, append([]string{"explain", "--json"}, args...)...))
	var lines []line
	if err := json.Unmarshal([]byte(got.out), &lines); err != nil {
		t.Fatalf("%v: %s%s", err, got.out, got.err)
	}
	return lines
}

// prompt is what stave run --step asks.
const prompt = "q: quit] "

// TestStepStopsBeforeEveryCall steps through a whole container and looks at its process from outside at
// the calls that set the host name, mount /proc and change the root.
func TestStepStopsBeforeEveryCall(t *testing.T) {
	witness.Need(t, "root")
	root := folder(t)
	makeRoot(t, root)
	args := []string{"--rootfs", root, "--hostname", "stepped", "sh", "-c", "echo inside; exit 4"}
	lines := explained(t, append([]string{"-t"}, args...)...)
	p := sitDown(t, staveRun(append([]string{"--step"}, args...)...))
	pid := 0
	var checks []func()
	for n, l := range lines {
		shown := p.until(prompt)
		where := l.Side + " call " + strconv.Itoa(l.Index) + " of " + strconv.Itoa(l.Count) + ": " + l.Call
		if !strings.Contains(withoutID(shown), withoutID(where)) || !strings.Contains(shown, l.Why) {
			t.Fatalf("stop %d shows %q, want %q, and why: %q", n+1, shown, where, l.Why)
		}
		for _, check := range checks {
			check()
		}
		checks = nil
		if found := regexp.MustCompile(`/proc/(\d+) `).FindStringSubmatch(shown); found != nil {
			pid, _ = strconv.Atoi(found[1])
		}
		switch {
		case strings.HasPrefix(l.Call, "set the host name"):
			if witness.Namespace(t, pid, "uts") == witness.Namespace(t, 0, "uts") || nameSeenBy(t, pid) != hostName(t) {
				t.Errorf("before %q the name is %q, want the host's in a namespace of its own", l.Call, nameSeenBy(t, pid))
			}
			checks = append(checks, func() {
				if got := nameSeenBy(t, pid); got != "stepped" {
					t.Errorf("after %q the name is %q", l.Call, got)
				}
			})
		case strings.HasPrefix(l.Call, "mount proc on /proc"):
			if hasMount(t, pid, root+"/proc") {
				t.Errorf("before %q it is there already", l.Call)
			}
			checks = append(checks, func() {
				if !hasMount(t, pid, root+"/proc") {
					t.Errorf("after %q it is not there", l.Call)
				}
			})
		case strings.HasPrefix(l.Call, "pivot_root"):
			checks = append(checks, func() {
				if hasMount(t, pid, root+"/proc") || !hasMount(t, pid, "/proc") {
					t.Errorf("after %q the mounts are %v", l.Call, witness.Mounts(t, pid))
				}
			})
		}
		p.types("\r")
	}
	p.until("inside")
	if got := p.leave(); got != 4 || pid == 0 {
		t.Errorf("exit code %d, want 4; process %d", got, pid)
	}
}

// withoutID takes the container's id out of the paths of its cgroup.
func withoutID(text string) string {
	return regexp.MustCompile(`/stave-[0-9a-f]{12}\b`).ReplaceAllString(text, "/stave-ID")
}

// hasMount tells whether a process sees a mount at a path.
func hasMount(t *testing.T, pid int, path string) bool {
	t.Helper()
	return slices.ContainsFunc(witness.Mounts(t, pid), func(m witness.Mount) bool { return m.Point == path })
}

// nameSeenBy is the host name in the UTS namespace of a process, which a thread of this test joins and
// ends in.
func nameSeenBy(t *testing.T, pid int) string {
	t.Helper()
	name := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		defer close(name)
		ns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/uts")
		if err != nil {
			t.Error(err)
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWUTS); err != nil {
			t.Error(err)
			return
		}
		name <- hostName(t)
	}()
	return <-name
}

// hostName is the host name that the calling thread sees.
func hostName(t *testing.T) string {
	t.Helper()
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		t.Error(err)
	}
	return unix.ByteSliceToString(names.Nodename[:])
}

// TestStepCanBeLeft answers with c, q and the end of input.
func TestStepCanBeLeft(t *testing.T) {
	witness.Need(t, "root")
	for name, it := range map[string]struct {
		answers, out string
		code, stops  int
	}{
		"c at once":         {"c\n", "ran\n", 0, 1},
		"c in the middle":   {"\n\n\n\nc\n", "ran\n", 0, 5},
		"q at once":         {"q\n", "", 125, 1},
		"asked again":       {"x\nls /\n\nq\n", "", 125, 4},
		"q in the middle":   {strings.Repeat("\n", 30) + "q\n", "", 125, 31},
		"end of input":      {"", "", 125, 1},
		"end in the middle": {strings.Repeat("\n", 30), "", 125, 31},
	} {
		t.Run(name, func(t *testing.T) {
			c := staveRun("--step", "lab", "echo", "ran")
			c.Stdin = strings.NewReader(it.answers)
			got := run(t, c)
			if got.out != it.out || got.code != it.code || strings.Count(got.err, prompt) != it.stops {
				t.Errorf("it wrote %q, stopped %d times and ended with %d, want %q, %d, %d", got.out, strings.Count(got.err, prompt), got.code, it.out, it.stops, it.code)
			}
			if left := statesLeft(t); len(left) > 0 {
				t.Errorf("left in the state folder: %q", left)
			}
		})
	}
}

// TestStepInterrupted types Ctrl-C at a question in the middle of the set-up.
func TestStepInterrupted(t *testing.T) {
	witness.Need(t, "root")
	p := sitDown(t, staveRun("--step", "lab", "echo", "ran"))
	for range 10 {
		p.until(prompt)
		p.types("\n")
	}
	p.until(prompt)
	p.types("\x03")
	if code := p.leave(); code != 125 {
		t.Errorf("exit code %d, want 125", code)
	}
	if left := statesLeft(t); len(left) > 0 {
		t.Errorf("left in the state folder: %q", left)
	}
}

// statesLeft lists the folders of containers in the state folder.
func statesLeft(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(os.Getenv("STAVE_STATE") + "/containers")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
