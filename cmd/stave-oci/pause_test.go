// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
)

// groupFile reads a file of a container's cgroup, of the hierarchy of a controller.
func groupFile(t *testing.T, id, controller string, byVersion map[int]string) string {
	t.Helper()
	version, mount := hierarchyOf(t, controller)
	data, err := os.ReadFile(filepath.Join(mount, id, byVersion[version]))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// frozen asks the kernel whether the processes of a container stand still.
func frozen(t *testing.T, id string) bool {
	t.Helper()
	text := groupFile(t, id, "freezer", map[int]string{1: "freezer.state", 2: "cgroup.events"})
	return text == "FROZEN" || strings.Contains(text, "frozen 1")
}

// TestPause pauses a container and lets it go on, before its start and while it runs: the kernel is asked each time, and
// the wrong order is refused in runc's words.
func TestPause(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := create(t, newBundle(t, "while :; do sleep 0.05; done"))
	refused := func(command, words string) {
		t.Helper()
		if got := do(t, command, k.id); got.code != 1 || !strings.Contains(got.err, words) {
			t.Errorf("%s: exit code %d, %q, want %q", command, got.code, got.err, words)
		}
	}
	for _, status := range []string{"created", "running"} {
		if status == "running" {
			must(t, "start", k.id)
		}
		refused("resume", "container not paused")
		must(t, "pause", k.id)
		if s := k.state(t); s.Status != "paused" || s.Pid != k.pid || !frozen(t, k.id) {
			t.Errorf("%s, then paused: the state is %+v, frozen is %v", status, s, frozen(t, k.id))
		}
		refused("pause", "container not running")
		refused("start", "already running")
		refused("delete", "not stopped")
		must(t, "resume", k.id)
		if s := k.state(t); string(s.Status) != status || frozen(t, k.id) {
			t.Errorf("%s, paused and resumed: the state is %+v, frozen is %v", status, s, frozen(t, k.id))
		}
	}
	must(t, "pause", k.id)
	must(t, "kill", k.id, "KILL") // it dies at once, paused or not
	k.until(t, "stopped")
	refused("pause", "container not running")
	refused("resume", "container not paused")
}

// TestDeletePaused removes a paused container by force.
func TestDeletePaused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := create(t, newBundle(t, "exec sleep 1000"))
	must(t, "start", k.id)
	must(t, "pause", k.id)
	must(t, "delete", "--force", k.id)
	if left := groupsNamed(t, k.id); len(left) > 0 || program(k.pid) != "" {
		t.Errorf("left are the cgroups %q, and process %d runs %q", left, k.pid, program(k.pid))
	}
}

// pidsOf asks ps for the numbers of a container's processes.
func pidsOf(t *testing.T, id string) (pids []int) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, "ps", "--format", "json", id)), &pids); err != nil {
		t.Fatal(err)
	}
	slices.Sort(pids)
	return pids
}

// TestPs lists the processes of a container that runs, is paused, and has stopped, as numbers and as tables of ps(1).
func TestPs(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:ps")
	k := create(t, newBundle(t, "sleep 1000 & sleep 1001 & wait"))
	if diff := cmp.Diff([]int{k.pid}, pidsOf(t, k.id)); diff != "" {
		t.Errorf("before the start, -want +got:\n%s", diff)
	}
	must(t, "start", k.id)
	var want []int
	witness.Until(t, "it has three processes", func() bool {
		want = members(t, k.id)
		slices.Sort(want)
		return len(want) == 3
	})
	for _, paused := range []bool{false, true} {
		if paused {
			must(t, "pause", k.id)
		}
		if diff := cmp.Diff(want, pidsOf(t, k.id)); diff != "" {
			t.Errorf("paused %v, -want +got:\n%s", paused, diff)
		}
		for _, options := range [][]string{nil, {"aux"}, {"-e", "-o", "user,pid,args"}} {
			checkTable(t, must(t, append([]string{"ps", k.id}, options...)...), want)
		}
	}
	must(t, "kill", k.id, "KILL")
	k.until(t, "stopped")
	if pids := pidsOf(t, k.id); len(pids) != 0 {
		t.Errorf("it has stopped, and ps has %v", pids)
	}
	for _, test := range []struct{ args, want string }{
		{"-o comm", "no column PID"}, {"--nonsense", "unknown gnu long option"}, {"-o args,pid", "is not a number"},
	} {
		args := append([]string{"ps", k.id}, strings.Fields(test.args)...)
		if got := do(t, args...); got.code != 1 || !strings.Contains(got.err, test.want) || got.out != "" && test.want != "is not a number" {
			t.Errorf("%s: exit code %d, %q, %q", test.args, got.code, got.out, got.err)
		}
	}
}

// checkTable wants a heading and a line for each process, in any order.
func checkTable(t *testing.T, table string, want []int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(table), "\n")
	column := slices.Index(strings.Fields(lines[0]), "PID")
	var got []int
	for _, line := range lines[1:] {
		if pid, err := strconv.Atoi(strings.Fields(line)[max(column, 0)]); err == nil {
			got = append(got, pid)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || column < 0 {
		t.Errorf("-want +got:\n%s%s", diff, table)
	}
}

// TestWithoutCgroup asks a container of an ordinary user, who has no cgroup, for what needs one: its processes are those in its
// PID namespace, and the rest is refused with a reason.
func TestWithoutCgroup(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox")
	const uid = 65534
	dir := newBundle(t, "sleep 1000 & exec sleep 1001", rootless(uid))
	give(t, dir, uid)
	id := "stave-test-" + filepath.Base(dir)
	as := func(args ...string) result {
		return run(t, asUser(exec.Command(staveOCI, append([]string{"--root", root}, args...)...), uid))
	}
	c := asUser(exec.Command(staveOCI, "--root", root, "run", "--detach", "--bundle", dir, id), uid)
	if err := c.Run(); err != nil { // without pipes, which the container would hold
		t.Fatal(err)
	}
	defer func() {
		if got := as("delete", "--force", id); got.code != 0 {
			t.Error(got.err)
		}
	}()
	witness.Until(t, "ps shows both processes", func() bool {
		var pids []int
		got := as("ps", "--format", "json", id)
		if err := json.Unmarshal([]byte(got.out), &pids); err != nil {
			t.Fatalf("%v: %s", err, got.err)
		}
		return len(pids) == 2 && slices.ContainsFunc(pids, func(pid int) bool {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			return string(line) == "sleep\x001000\x00"
		})
	})
	for _, args := range [][]string{{"pause", id}, {"update", "--pids-limit", "10", id}, {"events", "--stats", id}, {"events", id}} {
		if got := as(args...); got.code != 1 || !strings.Contains(got.err, "has no cgroup") || !strings.Contains(got.err, "systemd-run") {
			t.Errorf("%v: exit code %d, %q", args, got.code, got.err)
		}
	}
}
