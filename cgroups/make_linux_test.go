// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// plain returns a group of this machine that is not made yet, in a folder that is not either.
func plain(t *testing.T, name string) Group {
	t.Helper()
	witness.Need(t, "root")
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	g, err := layout.Group(name, "")
	if err != nil {
		t.Fatal(err)
	}
	if g, err = g.Look(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// name returns a name for a group of a test.
func name() string { return "/stave-test-" + strings.ToLower(rand.Text()) }

// inGroup makes a group and a process in it, which does calls.
func inGroup(t *testing.T, g Group, r *specs.LinuxResources, host, inside []kernel.Call, born bool) kernel.Program {
	t.Helper()
	create, err := g.Create(r)
	if err != nil {
		t.Fatal(err)
	}
	slot, open, enter := g.Enter(born)
	return kernel.Program{
		Host:      slices.Concat(create, open, []kernel.Call{{Request: kernel.Clone{Cgroup: slot}}}, host),
		Container: slices.Concat(enter, inside),
	}
}

// look is a request of the host side that runs a function.
type look struct{ do func(pid int) }

// String says so.
func (look) String() string { return "look" }

// Shell is empty.
func (look) Shell() string { return "" }

// Assemble adds nothing.
func (look) Assemble(*kernel.Assembler) {}

// Do looks.
func (l look) Do(h *kernel.Host) error {
	l.do(h.Pid())
	return nil
}

// TestMakeAndEnter makes a group with a limit, and looks for the process in every hierarchy at the end of its very
// first calls, and for the limit.
func TestMakeAndEnter(t *testing.T) {
	for _, born := range []bool{true, false} {
		t.Run(fmt.Sprintf("born %v", born), func(t *testing.T) {
			g := plain(t, name()+"/above/own")
			limits := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(77))}}
			met := false
			host := []kernel.Call{{Request: kernel.Await{Point: "in"}}, {Request: look{func(pid int) {
				met = true
				for _, f := range g.Folders {
					if got := read(t, f.File("cgroup.procs")); got != strconv.Itoa(pid) {
						t.Errorf("%s: holds %q, want the process %d", f.Path, got, pid)
					}
				}
				if f, ok := g.Folder("pids"); !ok || read(t, f.File("pids.max")) != "77" {
					t.Errorf("no limit of 77 processes in %+v", f)
				}
				checkInherited(t, g)
			}}}, {Request: kernel.Release{Point: "in"}}}
			process, err := inGroup(t, g, limits, host, []kernel.Call{{Request: kernel.Wait{Point: "in"}}}, born).Start(kernel.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := process.Wait(); err != nil || !met {
				t.Fatalf("nobody has looked, or %v", err)
			}
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
			checkGone(t, g)
		})
	}
}

// checkInherited compares the processors of a new v1 cpuset with those of the top; a v2 folder must have all
// controllers of its machine where there is no v1.
func checkInherited(t *testing.T, g Group) {
	t.Helper()
	for _, f := range g.Folders {
		switch {
		case f.Version == 1 && slices.Contains(f.Controllers, "cpuset"):
			for _, file := range []string{"/cpuset.cpus", "/cpuset.mems"} {
				if got, want := read(t, f.Path+file), read(t, f.Top+file); got != want || got == "" {
					t.Errorf("%s has %q, the top %q", f.Path+file, got, want)
				}
			}
		case f.Version == 2 && len(g.Folders) == 1:
			if got, want := read(t, f.File("cgroup.controllers")), read(t, f.Top+"/cgroup.controllers"); got != want {
				t.Errorf("%s has the controllers %q, the top %q", f.Path, got, want)
			}
		}
	}
}

// checkGone wants no folder of a group, nor those above it that were made for it.
func checkGone(t *testing.T, g Group) {
	t.Helper()
	for _, f := range g.Folders {
		for _, dir := range append(f.New, f.Path) {
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there (%v)", dir, err)
			}
		}
	}
}

// TestUndo lets a program fail after its group was made: by a call of the host, and by one of the process.
func TestUndo(t *testing.T) {
	bad := kernel.Call{Request: kernel.WriteFile{Path: "/proc/self/no such file", Data: "1"}}
	for side, calls := range map[string][2][]kernel.Call{"host": {{bad}, nil}, "process": {nil, {bad}}} {
		t.Run(side, func(t *testing.T) {
			g := plain(t, name()+"/own")
			if _, err := inGroup(t, g, nil, calls[0], calls[1], true).Start(kernel.Options{}); !errors.Is(err, unix.ENOENT) {
				t.Fatalf("error is %v", err)
			}
			for _, f := range g.Folders {
				if _, err := os.Stat(f.Path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is still there (%v)", f.Path, err)
				}
			}
			if err := g.RemoveAbove(); err != nil {
				t.Error(err)
			}
			checkGone(t, g)
		})
	}
}

// TestSharedFolder removes one of two groups in a folder that was made for the first of them: the folder stays for the
// other, also when it is a failed program that takes back what it made.
func TestSharedFolder(t *testing.T) {
	above := name()
	first, second := plain(t, above+"/one"), plain(t, above+"/two")
	for _, g := range []Group{first, second} {
		process, err := inGroup(t, g, nil, nil, nil, true).Start(kernel.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := process.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.RemoveAbove(); err != nil {
		t.Error(err)
	}
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, f := range second.Folders {
		if _, err := os.Stat(f.Path); err != nil {
			t.Errorf("the other group has gone: %v", err)
		}
	}
	if err := second.Remove(); err != nil {
		t.Fatal(err)
	}
	checkGone(t, first)
}

// TestRemoveBusy removes a group whose processes live on, in it and below it, and are frozen: they end. Removing what is
// unused leaves them alone.
func TestRemoveBusy(t *testing.T) {
	g := newGroup(t)
	nested := nest(t, g, "below")
	one, two := start(t, g, "exec sleep 1000"), start(t, nested, "exec sleep 1000")
	if err := g.RemoveUnused(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a group with processes was removed, or the error is another: %v", err)
	}
	if unix.Kill(one.Process.Pid, 0) != nil || unix.Kill(two.Process.Pid, 0) != nil {
		t.Error("a process was ended")
	}
	if err := g.Freeze(); err != nil {
		t.Fatal(err)
	}
	reaped := make(chan error, 2)
	go func() { reaped <- one.Wait() }()
	go func() { reaped <- two.Wait() }()
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-reaped; err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("a process ended with %v", err)
		}
	}
	checkGone(t, g)
	for _, f := range g.Folders {
		if err := os.Mkdir(f.Path, 0o755); err != nil { // the clean-up of newGroup expects it
			t.Error(err)
		}
	}
}

// TestLookAtUsed refuses a group with processes, and takes an empty one that is there already.
func TestLookAtUsed(t *testing.T) {
	g := newGroup(t)
	for i, f := range g.Folders {
		g.Folders[i].New = []string{f.Path}
	}
	seen, err := g.Look()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range seen.Folders {
		if len(f.New) > 0 {
			t.Errorf("%v are to be made, which are there", f.New)
		}
	}
	command := start(t, g, "exec sleep 1000")
	want := fmt.Sprintf("process %d", command.Process.Pid)
	if _, err := g.Look(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), g.Folders[0].Path) {
		t.Errorf("error is %v, want the path and %q", err, want)
	}
}

// TestDelegateBusy asks for a controller of a v2 folder that has processes: it is refused with the reason.
func TestDelegateBusy(t *testing.T) {
	g := newGroup(t)
	f, ok := g.Unified()
	if !ok || !strings.Contains(" "+read(t, f.File("cgroup.controllers"))+" ", " memory ") {
		t.Skip("needs cgroup2:memory: the group has no v2 controller to give away")
	}
	start(t, g, "exec sleep 1000")
	err := (Delegate{Path: f.Path, Controllers: []string{"memory"}, Must: []string{"memory"}}).Do(nil)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "holds processes itself") {
		t.Errorf("error is %v", err)
	}
	if err := (Delegate{Path: f.Path, Controllers: []string{"memory"}}).Do(nil); err != nil {
		t.Errorf("a controller that nobody needs is refused: %v", err)
	}
}
