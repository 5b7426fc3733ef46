// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"stave/cgroups"
	"stave/internal/witness"
)

// This file is the same in every step that limits something: its tests read the files of the command's cgroup.

// needs skips a test that limits with a controller where no hierarchy has it.
func needs(t *testing.T, controller string) {
	t.Helper()
	witness.Need(t, "root", "command:busybox")
	layout, err := cgroups.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := groupOf(t, layout, "/x").Folder(controller); !ok {
		t.Skipf("needs a cgroup controller: no mounted hierarchy has %s", controller)
	}
}

// groupOf is the cgroup at a path of every hierarchy.
func groupOf(t *testing.T, layout cgroups.Layout, path string) cgroups.Group {
	t.Helper()
	group, err := layout.Group(path, "")
	if err != nil {
		t.Fatal(err)
	}
	return group
}

// folder returns the folder of the running command in the hierarchy with a controller, as /proc/PID/cgroup tells it.
func (r *running) folder(t *testing.T, controller string) cgroups.Folder {
	t.Helper()
	layout, err := cgroups.Read()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(r.read(t, "cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if !strings.Contains(parts[2], "/"+groupPrefix) {
			t.Fatalf("the command is in the cgroup %q, which is none of a step", line)
		}
		f, ok := groupOf(t, layout, parts[2]).Folder(controller)
		if ok && (f.Version == 2 && parts[1] == "" || f.Version == 1 && strings.Join(f.Controllers, ",") == parts[1]) {
			return f
		}
	}
	t.Fatalf("no cgroup with the controller %s", controller)
	return cgroups.Folder{}
}

// file returns a file of the command's cgroup, which has another name in each version.
func (r *running) file(t *testing.T, controller, v1, v2 string) string {
	t.Helper()
	f := r.folder(t, controller)
	name := f.File(map[int]string{1: v1, 2: v2}[f.Version])
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// keyed returns a number of a file with a line for each, such as memory.events or cpu.stat.
func keyed(t *testing.T, text, key string) int {
	t.Helper()
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %q", key, text)
	return 0
}

// give makes the top of the v2 tree give a controller to the cgroups below it, until the test is over.
func give(t *testing.T, file, controller string) {
	t.Helper()
	given, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(given)), controller) {
		return
	}
	if err := os.WriteFile(file, []byte("+"+controller), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // EBUSY: by now somebody else needs it
		if err := os.WriteFile(file, []byte("-"+controller), 0); err != nil && !errors.Is(err, syscall.EBUSY) {
			t.Error(err)
		}
	})
}

// delegated makes commands run as nobody in a part of the v2 tree that was given to him, as systemd does with Delegate=yes: a
// folder whose owner he is, with one below it in which his processes are.
func delegated(t *testing.T, controllers ...string) func(*exec.Cmd) *exec.Cmd {
	t.Helper()
	witness.Need(t, "root", "userns", "command:busybox")
	for _, controller := range controllers {
		witness.Need(t, "cgroup2:"+controller)
	}
	layout, err := cgroups.Read()
	if err != nil {
		t.Fatal(err)
	}
	top, _ := groupOf(t, layout, "/stave-test-delegated").Unified()
	for _, controller := range controllers {
		give(t, top.Top+"/cgroup.subtree_control", controller)
	}
	own := top.File("session")
	for _, folder := range []string{top.Path, own} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { witness.Until(t, folder+" is removed", func() bool { return os.Remove(folder) == nil }) })
		for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
			if err := os.Chown(filepath.Join(folder, file), 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
	}
	fd, err := os.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.Close() })
	return func(cmd *exec.Cmd) *exec.Cmd {
		nobody(cmd)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cmd.SysProcAttr.Credential, UseCgroupFD: true, CgroupFD: int(fd.Fd())}
		return cmd
	}
}
