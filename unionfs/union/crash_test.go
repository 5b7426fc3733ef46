// SPDX-License-Identifier: Apache-2.0

package union

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// crashVariable tells the test binary, started by TestKilled, at which act to kill itself.
const crashVariable = "UNION_CRASH_AT"

// crashes are operations in which every kind of act is done. Each is to be done or not done, wherever the program is killed.
func crashes() []operation {
	return []operation{
		{kind: "chmod", name: "a/file", number: 0o600},
		{kind: "rename", name: "a/other", other: "b/moved"},
		{kind: "unlink", name: "a/file"},
		{kind: "mkdir", name: "a/file", number: 0o700},
		{kind: "rmdir", name: "gone"},
		{kind: "rename", name: "a/file", other: "gone"},
		{kind: "link", name: "b/moved", other: "a/other"},
		{kind: "unlink", name: "b/c/d"},
		{kind: "mkdir", name: "new", number: 0o711},
		{kind: "rename", name: "new", other: "b/c"},
	}
}

// crashLayers are below them.
func crashLayers(t *testing.T) []string {
	return folders(t, map[string]string{"a/file": "1", "a/other": "1", "b/c/d": "1", "gone/": ""}, map[string]string{"a/file": "22"})
}

// TestKilled kills a program at each act of a list of operations. What the next union shows is what one sees after some operation, none half
// done, and nothing is left in the work folder.
func TestKilled(t *testing.T) {
	lower := crashLayers(t)
	u, _, _ := open(t, lower...)
	var states []snapshot
	for i := -1; i < len(crashes()); i++ {
		if i >= 0 {
			if err := (ours{u}).do(crashes()[i]); err != nil {
				t.Fatalf("%s: %v", crashes()[i], err)
			}
		}
		s, err := describeTree(ours{u})
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, s)
	}
	last := -1
	for at := 0; last < len(crashes()); at++ {
		upper, work := t.TempDir(), t.TempDir()
		killed := crash(t, at, lower, upper, work)
		after, err := New(Options{Lower: lower, Upper: upper, Work: work, User: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := describeTree(ours{after})
		if err != nil {
			t.Fatal(err)
		}
		after.Close()
		now := slices.IndexFunc(states, func(state snapshot) bool { return maps.Equal(s, state) })
		if now < last || now > max(last, 0)+1 {
			t.Fatalf("killed at act %d: the union is in state %d after %d: %v", at, now, last, s)
		}
		if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
			t.Errorf("killed at act %d: the work folder has %v, error %v", at, left, err)
		}
		if last = now; !killed && now != len(crashes()) {
			t.Fatalf("it came to its end in state %d", now)
		}
	}
}

// crash runs the operations in a program that kills itself at an act, unless it comes to its end before.
func crash(t *testing.T, at int, lower []string, upper, work string) (killed bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-test.run=^TestCrash$", "--", upper, work}, lower...)...)
	cmd.Env = append(os.Environ(), crashVariable+"="+strconv.Itoa(at))
	output, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if status := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); status.Signal() != unix.SIGKILL {
		t.Fatalf("%v\n%s", err, output)
	}
	return true
}

// TestCrash is the program that TestKilled runs. Else it does nothing.
func TestCrash(t *testing.T) {
	at, err := strconv.Atoi(os.Getenv(crashVariable))
	if err != nil {
		return
	}
	args := os.Args[slices.Index(os.Args, "--")+1:]
	acts := 0
	u, err := New(Options{Lower: args[2:], Upper: args[0], Work: args[1], User: true, Trace: func(string) {
		if acts++; acts > at {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range crashes() {
		if err := (ours{u}).do(o); err != nil {
			t.Fatalf("%s: %v in %s", o, err, filepath.Base(args[0]))
		}
	}
}
