// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// TestBornInACgroup clones a process into a group of the v2 tree: the kernel says so before its first call.
func TestBornInACgroup(t *testing.T) {
	witness.Need(t, "root", "filesystem:cgroup2")
	if !kernel.ClonesIntoCgroups() {
		t.Fatal("clone3 with CLONE_INTO_CGROUP is in Linux since 5.7; this kernel is said not to have it")
	}
	top := unifiedTree(t)
	dir := filepath.Join(top, fmt.Sprintf("stave-test-born-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { witness.Until(t, "the group is empty", func() bool { return unix.Rmdir(dir) == nil }) })
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := kernel.Program{
		Host:      []kernel.Call{{Request: kernel.Clone{Cgroup: "group"}}, {Request: kernel.Await{Point: "look"}}, {Request: look{t, dir}}, {Request: kernel.Release{Point: "look"}}},
		Container: []kernel.Call{{Request: kernel.Wait{Point: "look"}}},
	}
	process, err := p.Start(kernel.Options{Slots: map[kernel.Slot]int{"group": fd}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.Wait(); err != nil {
		t.Fatal(err)
	}
}

// unifiedTree returns where the v2 tree is mounted.
func unifiedTree(t *testing.T) string {
	t.Helper()
	for _, m := range witness.Mounts(t, os.Getpid()) {
		if m.Type == "cgroup2" {
			return m.Point
		}
	}
	t.Fatal("no v2 tree is mounted")
	return ""
}

// look compares a group's processes with the child.
type look struct {
	t   *testing.T
	dir string
}

// String names the group.
func (l look) String() string { return "look into " + l.dir }

// Shell is empty.
func (l look) Shell() string { return "" }

// Assemble adds nothing.
func (l look) Assemble(*kernel.Assembler) {}

// Do reads the group's file.
func (l look) Do(h *kernel.Host) error {
	data, err := os.ReadFile(l.dir + "/cgroup.procs")
	if strings.TrimSpace(string(data)) != fmt.Sprint(h.Pid()) {
		l.t.Errorf("%s holds %q, want process %d", l.dir, data, h.Pid())
	}
	return err
}
