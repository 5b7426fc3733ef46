// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strings"
	"testing"

	"stave/internal/witness"
)

// isFrozen asks the kernel, by the file of either version.
func isFrozen(t *testing.T, g Group) bool {
	t.Helper()
	f, _ := g.Folder("freezer")
	if f.Version == 2 {
		return strings.Contains(read(t, f.File("cgroup.events")), "frozen 1")
	}
	return read(t, f.File("freezer.state")) == "FROZEN"
}

// TestFreeze looks at the processor time of busy processes, in a group and in one below it, while they are frozen and
// one beside them is not.
func TestFreeze(t *testing.T) {
	g := newGroup(t)
	nested, beside := nest(t, g, "nested"), newGroup(t)
	inside := []int{start(t, g, busy).Process.Pid, start(t, nested, busy).Process.Pid}
	neighbour := start(t, beside, busy).Process.Pid
	for name, view := range views(g) {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				if err := view.Freeze(); err != nil {
					t.Fatal(err)
				}
				frozen, err := view.Frozen()
				if !frozen || err != nil || !isFrozen(t, view) {
					t.Fatalf("frozen %v, error %v, and the kernel says %v", frozen, err, isFrozen(t, view))
				}
				var before []uint64
				for _, pid := range inside {
					before = append(before, stands(t, pid))
				}
				works(t, neighbour)
				for i, pid := range inside {
					if now, state := ticks(t, pid); now != before[i] || state == "R" {
						t.Errorf("process %d went from %d ticks to %d, and is in state %s", pid, before[i], now, state)
					}
				}
				if err := view.Thaw(); err != nil {
					t.Fatal(err)
				}
				if frozen, err := view.Frozen(); frozen || err != nil || isFrozen(t, view) {
					t.Errorf("thawed: frozen %v, error %v, and the kernel says %v", frozen, err, isFrozen(t, view))
				}
				for _, pid := range inside {
					works(t, pid)
				}
			}
		})
	}
}

// stands waits until a frozen process has left the processor, and returns what it has used until then: the kernel counts a
// process as frozen just before it is.
func stands(t *testing.T, pid int) uint64 {
	t.Helper()
	var before uint64
	witness.Until(t, fmt.Sprintf("process %d stands still", pid), func() bool {
		now, state := ticks(t, pid)
		same := now == before
		before = now
		return same && state != "R"
	})
	return before
}

// TestFreezeEmpty freezes a group without processes, what comes in later, and thaws twice.
func TestFreezeEmpty(t *testing.T) {
	g := newGroup(t)
	for name, view := range views(g) {
		t.Run(name, func(t *testing.T) {
			if err := view.Freeze(); err != nil || !isFrozen(t, view) {
				t.Fatalf("error %v, and the kernel says %v", err, isFrozen(t, view))
			}
			for range 2 {
				if err := view.Thaw(); err != nil || isFrozen(t, view) {
					t.Errorf("error %v, and the kernel says %v", err, isFrozen(t, view))
				}
			}
		})
	}
}

// TestFreezeBlocked has a process that the kernel cannot freeze: an error says so, and the group is thawed again.
func TestFreezeBlocked(t *testing.T) {
	g := newGroup(t)
	file, asked, release := blockedFile(t)
	start(t, g, "exec stat "+file)
	defer release()
	idle := start(t, g, busy).Process.Pid
	witness.Until(t, "stat waits for the file system", asked)
	for name, view := range views(g) {
		t.Run(name, func(t *testing.T) {
			err := view.Freeze()
			if err == nil || !strings.Contains(err.Error(), "state D") || !strings.Contains(err.Error(), view.Folders[0].Path[len(view.Folders[0].Top):]) {
				t.Fatalf("error %v", err)
			}
			if frozen, err := view.Frozen(); frozen || err != nil || isFrozen(t, view) {
				t.Errorf("frozen %v, error %v, and the kernel says %v", frozen, err, isFrozen(t, view))
			}
			works(t, idle)
		})
	}
}

// TestThawBelowFrozen thaws a group below a frozen one, which is in vain.
func TestThawBelowFrozen(t *testing.T) {
	g := newGroup(t)
	nested := views(nest(t, g, "nested"))
	for name, view := range views(g) {
		t.Run(name, func(t *testing.T) {
			if err := view.Freeze(); err != nil {
				t.Fatal(err)
			}
			defer view.Thaw()
			if frozen, err := nested[name].Frozen(); !frozen || err != nil {
				t.Errorf("the group below: frozen %v, error %v", frozen, err)
			}
			if err := nested[name].Thaw(); err == nil || !strings.Contains(err.Error(), "thaw that one first") {
				t.Errorf("thawed it below a frozen one: %v", err)
			}
			if err := view.Thaw(); err != nil || isFrozen(t, nested[name]) {
				t.Errorf("error %v, and the kernel says of the group below %v", err, isFrozen(t, nested[name]))
			}
		})
	}
}

// TestFreezeNothing asks of groups that are not there, or have no freezer.
func TestFreezeNothing(t *testing.T) {
	missing := Group{Folders: []Folder{{Version: 2, Path: t.TempDir() + "/none"}}}
	for name, g := range map[string]Group{"no freezer": {}, "no folder": missing} {
		want := map[string]string{"no freezer": "mount", "no folder": missing.Folders[0].Path}[name]
		_, err := g.Frozen()
		for call, err := range map[string]error{"freeze": g.Freeze(), "thaw": g.Thaw(), "frozen": err} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: error %v", name, call, err)
			}
		}
	}
}
