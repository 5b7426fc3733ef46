// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
)

// bomb is a script in which every process makes others as fast as it can. One that finds no room does not end, but
// starts itself anew: for that a shell needs no fork.
const bomb = `export B='trap "exec sh -c \"\$B\"" EXIT; while :; do sh -c "$B" & done'; exec sh -c "$B" 2>/dev/null`

// explode starts a fork bomb in a group below g, which has room for some tasks, and waits until they fill that.
func explode(t *testing.T, g, nested Group, room int) {
	t.Helper()
	f, ok := g.Folder("pids")
	if !ok {
		t.Fatal("no controller pids: a fork bomb would have no end")
	}
	write(t, f.File("pids.max"), strconv.Itoa(room))
	start(t, nested, bomb)
	if unified, ok := g.Unified(); ok { // whatever the test does, no bomb is left
		t.Cleanup(func() { write(t, unified.File("cgroup.kill"), "1") })
	}
	witness.Until(t, "the fork bomb is at its limit", func() bool {
		return len(strings.Fields(read(t, nested.Folders[0].File("cgroup.procs")))) > room-10
	})
}

// killed fails the test unless SIGKILL ended a process.
func killed(t *testing.T, status syscall.WaitStatus) {
	t.Helper()
	if status.Signal() != syscall.SIGKILL {
		t.Errorf("ended with status %#x, want SIGKILL", int(status))
	}
}

// TestKill kills a fork bomb in a group below the group, and a quiet process beside it, with the group frozen and not.
func TestKill(t *testing.T) {
	for _, frozen := range []string{"running", "frozen"} {
		for _, version := range []string{"all", "v1", "v2"} {
			t.Run(frozen+" "+version, func(t *testing.T) {
				g := newGroup(t)
				view, ok := views(g)[version]
				if !ok {
					witness.Need(t, "cgroup"+strings.TrimPrefix(version, "v")+":freezer")
				}
				nested := nest(t, nest(t, g, "a"), "b")
				explode(t, g, nested, 40)
				quiet := start(t, g, "read never")
				neighbour := start(t, newGroup(t), busy).Process.Pid
				if frozen == "frozen" {
					if err := view.Freeze(); err != nil {
						t.Fatal(err)
					}
				}
				if err := view.Kill(); err != nil {
					t.Fatal(err)
				}
				if left := members(t, g); len(left) > 0 {
					t.Errorf("%d processes are left: %v", len(left), left)
				}
				state, err := quiet.Process.Wait()
				if err != nil {
					t.Fatal(err)
				}
				killed(t, state.Sys().(syscall.WaitStatus))
				if isFrozen(t, view) || isFrozen(t, Group{Folders: nested.Folders}) {
					t.Error("the group is still frozen")
				}
				works(t, neighbour)
				if err := view.Kill(); err != nil {
					t.Errorf("the second time: %v", err)
				}
			})
		}
	}
}

// hop is a script whose process makes another one and ends, and so on: a list of such processes is old before it is written.
const hop = `export H='sh -c "$H" &'; exec sh -c "$H"`

// TestKillFrozen is the way without cgroup.kill: one round of freezing and signalling is enough for processes that hop, even
// when it takes a while to look through all groups. Without the freezer, most are somewhere else when the signal comes.
func TestKillFrozen(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			g := newGroup(t)
			f, _ := g.Folder("freezer")
			if version == 2 {
				f, _ = g.Unified()
			}
			if f.Version != version {
				witness.Need(t, fmt.Sprintf("cgroup%d:freezer", version))
			}
			view := Group{Folders: []Folder{f}}
			nested := nest(t, g, "a")
			for i := range 300 {
				nest(t, view, fmt.Sprintf("b%d", i))
			}
			pids, ok := g.Folder("pids")
			if !ok {
				t.Fatal("no controller pids, which ends what hops when the test fails")
			}
			t.Cleanup(func() { write(t, pids.File("pids.max"), "0") })
			for range 4 {
				start(t, nested, hop).Wait()
			}
			procs := nested.Folders[0].File("cgroup.procs")
			first := read(t, procs)
			witness.Until(t, "they hop", func() bool { now := read(t, procs); return now != first && now != "" })
			if err := view.killFrozen(); err != nil {
				t.Fatal(err)
			}
			if err := view.thawAll(); err != nil {
				t.Fatal(err)
			}
			// A walk through /proc could miss one that hops; the kernel counts a child before its parent ends.
			witness.Until(t, "none is left", func() bool { return read(t, pids.File("pids.current")) == "0" })
		})
	}
}

// TestKillSettles has the kernel keep a group for frozen that nobody freezes: its last process ended while the group was
// frozen and one in a group below was not. After Kill it is thawed.
func TestKillSettles(t *testing.T) {
	all := newGroup(t)
	view, ok := views(all)["v2"]
	if !ok {
		witness.Need(t, "cgroup2:freezer")
	}
	file, asked, release := blockedFile(t)
	start(t, nest(t, view, "nested"), "exec stat "+file)
	defer release()
	witness.Until(t, "stat waits for the file system", asked)
	own := start(t, view, "read never")
	f, _ := view.Unified()
	write(t, f.File("cgroup.freeze"), "1")
	own.Process.Kill()
	own.Wait()
	write(t, f.File("cgroup.freeze"), "0")
	t.Logf("the kernel says before Kill: frozen %v", isFrozen(t, view))
	release()
	if err := view.Kill(); err != nil {
		t.Fatal(err)
	}
	if isFrozen(t, view) {
		t.Error("the group is still frozen")
	}
}

// TestKillNestedFrozen kills a group below which one was frozen for itself, as a container in a container would be.
func TestKillNestedFrozen(t *testing.T) {
	g := newGroup(t)
	nested := nest(t, g, "nested")
	start(t, nested, busy)
	for _, version := range []string{"v2", "v1"} { // version 2 cannot freeze what version 1 has frozen
		if view, ok := views(nested)[version]; ok {
			if err := view.Freeze(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if left := members(t, g); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestKillOwn kills a group that the caller is in himself: that is an error, and nobody dies.
func TestKillOwn(t *testing.T) {
	g := newGroup(t)
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(layout.Hierarchies, func(h Hierarchy) bool { return h.Version == 2 })
	if i < 0 {
		witness.Need(t, "cgroup2:freezer")
	}
	h := layout.Hierarchies[i]
	f, _ := g.Unified()
	write(t, f.File("cgroup.procs"), strconv.Itoa(os.Getpid()))
	defer write(t, path.Join(h.Mount, h.Own, "cgroup.procs"), strconv.Itoa(os.Getpid()))
	other := start(t, g, busy).Process.Pid
	if err := g.Kill(); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("error %v", err)
	}
	works(t, other)
}

// TestProcesses compares the list with the processes that were put in: into the group, into one below it, and into one
// of its folders only.
func TestProcesses(t *testing.T) {
	g := newGroup(t)
	if pids, err := g.Processes(); len(pids) > 0 || err != nil {
		t.Errorf("an empty group has %v, error %v", pids, err)
	}
	one := Group{Folders: g.Folders[:1]}
	want := []int{
		start(t, g, busy).Process.Pid, start(t, nest(t, nest(t, g, "a"), "b"), busy).Process.Pid,
		start(t, nest(t, g, "c"), busy).Process.Pid, start(t, one, busy).Process.Pid,
	}
	slices.Sort(want)
	for name, view := range map[string]Group{"all": g, "one": one} {
		got, err := view.Processes()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, difference:\n%s", name, err, diff)
		}
	}
	none := Group{Folders: []Folder{{Version: 2, Path: g.Folders[0].Path + "/none"}}}
	if pids, err := none.Processes(); len(pids) > 0 || err != nil {
		t.Errorf("a group that is gone has %v, error %v", pids, err)
	}
}

// TestProcessesThreaded has a group of version 2 below the group that holds threads only: the process is the group's.
func TestProcessesThreaded(t *testing.T) {
	g, ok := views(newGroup(t))["v2"]
	if !ok {
		witness.Need(t, "cgroup2:freezer")
	}
	process := start(t, g, busy).Process.Pid
	threads := nest(t, g, "threads").Folders[0]
	write(t, threads.File("cgroup.type"), "threaded")
	write(t, threads.File("cgroup.threads"), strconv.Itoa(process))
	if got, err := g.Processes(); err != nil || !slices.Equal(got, []int{process}) {
		t.Errorf("got %v, error %v, want %d", got, err, process)
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	if left := members(t, g); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}
