// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"stave/internal/witness"
)

// onlyMemory makes a group and returns its part that counts memory, and its file of killed processes.
func onlyMemory(t *testing.T, g Group) (Group, string) {
	t.Helper()
	f, ok := g.Folder("memory")
	if !ok {
		t.Fatal("no controller memory")
	}
	return Group{Folders: []Folder{f}}, f.File(names(f, "memory.oom_control", "memory.events"))
}

// next receives from a channel, and tells whether it is still open.
func next(t *testing.T, kills <-chan uint64) (uint64, bool) {
	t.Helper()
	select {
	case n, open := <-kills:
		return n, open
	case <-time.After(time.Minute):
		t.Fatal("waited in vain for the channel")
		return 0, false
	}
}

// TestOOM has hogs killed at their group's limit, one after the other and two at once, in a group and in one below it.
func TestOOM(t *testing.T) {
	g := newGroup(t)
	group, file := onlyMemory(t, g)
	limitMemory(t, g, 32<<20)
	nested := nest(t, g, "nested")
	descriptors := openFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	kills, err := group.WatchOOM(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i, where := range []Group{g, nested, g} {
		victim := start(t, where, hog)
		victim.Wait()
		killed(t, victim.ProcessState.Sys().(syscall.WaitStatus))
		if n, open := next(t, kills); !open || n != uint64(i)+1 {
			t.Errorf("event %d, open %v, want %d", n, open, i+1)
		}
		n, err := group.OOMKills()
		if n != uint64(i)+1 || err != nil {
			t.Errorf("%d kills, error %v, want %d", n, err, i+1)
		}
	}
	// Version 1 counts for each group, version 2 for all below as well.
	if own, want := figure(t, file, "oom_kill"), map[int]uint64{1: 2, 2: 3}[group.Folders[0].Version]; own != want {
		t.Errorf("the kernel says %d, want %d", own, want)
	}
	cancel()
	if n, open := next(t, kills); open {
		t.Errorf("got %d when the context had ended", n)
	}
	if now := openFiles(t); now != descriptors {
		t.Errorf("%d descriptors were open, and now %d", descriptors, now)
	}
}

// TestOOMPause has a watch of version 1 look often after an announcement, then now and then, and no more when that is long
// ago and nobody waits for memory.
func TestOOMPause(t *testing.T) {
	const calm, under = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "oom_kill_disable 1\nunder_oom 1\noom_kill 7\n"
	for name, c := range map[string]struct {
		since   time.Duration
		control string
		want    time.Duration
	}{
		"at once":        {0, calm, 5 * time.Millisecond},
		"later":          {2 * time.Second, calm, 100 * time.Millisecond},
		"long ago":       {time.Minute, calm, -1},
		"still under it": {time.Hour, under, 100 * time.Millisecond},
	} {
		if got := oomPause(c.since, c.control); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestWatchOOMRemoved removes the group of a watch, at once and after a process was in it; a second watch begins with
// the kills that were there before, and nobody receives from a third.
func TestWatchOOMRemoved(t *testing.T) {
	g := newGroup(t)
	limitMemory(t, g, 32<<20)
	descriptors := openFiles(t)
	start(t, g, hog).Wait()
	for name, script := range map[string]string{"at once": "", "after a process": "exit 0"} {
		t.Run(name, func(t *testing.T) {
			group, _ := onlyMemory(t, newGroup(t))
			kills, err := group.WatchOOM(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if script != "" {
				start(t, group, script).Wait()
			}
			witness.Until(t, "the group can be removed", func() bool { return os.Remove(group.Folders[0].Path) == nil })
			if err := os.Mkdir(group.Folders[0].Path, 0o755); err != nil { // another of the same name is not the watch's concern
				t.Error(err)
			}
			if n, open := next(t, kills); open {
				t.Errorf("got %d from a group that is gone", n)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	group, _ := onlyMemory(t, g)
	kills, err := group.WatchOOM(ctx)
	if err != nil {
		t.Fatal(err)
	}
	start(t, g, hog).Wait()
	witness.Until(t, "two were killed", func() bool { n, _ := group.OOMKills(); return n == 2 })
	cancel() // the watch may be about to send
	for n := range kills {
		if n != 2 {
			t.Errorf("event %d, want 2", n)
		}
	}
	if now := openFiles(t); now != descriptors {
		t.Errorf("%d descriptors were open, and now %d", descriptors, now)
	}
}

// TestWatchOOMNothing watches groups that are not there, or count no memory; nothing stays open.
func TestWatchOOMNothing(t *testing.T) {
	before := openFiles(t)
	for _, version := range []int{1, 2} {
		f := Folder{Version: version, Controllers: []string{"memory"}, Path: t.TempDir() + "/none"}
		gone := Group{Folders: []Folder{f}}
		if _, err := gone.WatchOOM(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), f.Path) {
			t.Errorf("v%d: error %v", version, err)
		}
		if _, err := gone.OOMKills(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("v%d: error %v", version, err)
		}
		f.Path = t.TempDir() // the files are there, but the kernel takes nothing
		for _, name := range []string{"memory.oom_control", "memory.events", "cgroup.events"} {
			if err := os.WriteFile(f.File(name), []byte("nonsense\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := (Group{Folders: []Folder{f}}).WatchOOM(t.Context()); err == nil {
			t.Errorf("v%d: watches files of nonsense", version)
		}
	}
	none := Group{}
	_, err := none.WatchOOM(t.Context())
	if _, err2 := none.OOMKills(); err == nil || err2 == nil || !slices.Contains(strings.Fields(err.Error()), "mount") {
		t.Errorf("errors %v and %v", err, err2)
	}
	if now := openFiles(t); now != before {
		t.Errorf("%d descriptors were open, and now %d", before, now)
	}
}
