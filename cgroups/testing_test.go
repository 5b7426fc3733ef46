// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness, which finds every cgroup that is left.
func TestMain(m *testing.M) {
	witness.Main(giving{m})
}

// giving is a witness.Runner: after the tests, the top of the v2 tree gives away what it gave before them, and what
// somebody else uses by then.
type giving struct{ tests witness.Runner }

// Run runs the tests.
func (g giving) Run() int {
	file := ""
	if layout, err := Read(); err == nil && os.Geteuid() == 0 {
		for _, h := range layout.Hierarchies {
			if h.Version == 2 {
				file = h.Mount + "/cgroup.subtree_control"
			}
		}
	}
	before, _ := os.ReadFile(file)
	code := g.tests.Run()
	after, _ := os.ReadFile(file)
	for c := range strings.FieldsSeq(string(after)) {
		if slices.Contains(strings.Fields(string(before)), c) {
			continue
		}
		// EBUSY: a group has begun to give it on to those below it, which none of a test's does any more.
		if err := os.WriteFile(file, []byte("-"+c), 0); err != nil && !errors.Is(err, unix.EBUSY) {
			fmt.Fprintln(os.Stderr, "give no more:", err)
			return 1
		}
	}
	return code
}

// newGroup makes a group /stave-test-… in every hierarchy of this machine, and removes it with all groups below it when
// the test is over: what the test puts in is to be gone by then. Processes may enter at once. In pure version 2 the
// root gives all its controllers to the groups below it until the last test is over; where the tree of version 2 is
// one of several, what its root gives is the machine's own business.
func newGroup(t *testing.T) Group {
	t.Helper()
	witness.Need(t, "root")
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if layout.Kind() == V2 {
		h := layout.Hierarchies[0]
		file := h.Mount + "/cgroup.subtree_control"
		given := strings.Fields(read(t, file))
		for _, c := range h.Controllers {
			if !slices.Contains(given, c) {
				write(t, file, "+"+c)
			}
		}
	}
	g, err := layout.Group("/stave-test-"+strings.ToLower(rand.Text()), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range g.Folders {
		if err := os.Mkdir(f.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeTree(t, f.Path) })
		if f.Version == 1 && slices.Contains(f.Controllers, "cpuset") {
			for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
				write(t, f.File(name), read(t, f.Top+"/"+name))
			}
		}
	}
	return g
}

// removeTree removes a folder of a hierarchy and those below it, once the kernel has done away with the last of their
// processes.
func removeTree(t *testing.T, top string) {
	t.Helper()
	var folders []string
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, folder := range slices.Backward(folders) {
		witness.Until(t, folder+" can be removed", func() bool { return os.Remove(folder) == nil })
	}
}

// put moves a process into the group, in every hierarchy.
func put(t *testing.T, g Group, pid int) {
	t.Helper()
	for _, f := range g.Folders {
		write(t, f.File("cgroup.procs"), strconv.Itoa(pid))
	}
}

// write writes a file of the kernel.
func write(t *testing.T, name, value string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(value), 0); err != nil {
		t.Fatalf("write %q to %s: %v", value, name, err)
	}
}

// read reads a file of the kernel, without the line break at its end.
func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}
