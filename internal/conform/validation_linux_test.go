// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// validation is one run of the validation programs.
type validation struct {
	folder  string // of the programs, of runtimetest and of the root file system for the bundles
	runtime string
	known   table
	cgroups sync.Mutex // many programs use the same cgroup
	found   struct {
		sync.Mutex
		table
	}
}

// TestValidation runs the validation programs of the OCI runtime-tools in each layout of cgroups that the machine can
// show. They spend their time asking for a state once a second, so several run at a time.
func TestValidation(t *testing.T) {
	v := &validation{folder: filepath.Join(built(t), "validation"), runtime: tested(t)}
	v.found.table = table{}
	var err error
	if v.known, err = readTable("testdata/validation.txt"); err != nil {
		t.Fatal(err)
	}
	files := v.files(t)
	before, groups := devices(t), cgroups(t)
	keepGiven(t)
	for _, shown := range machineLayout(t).views() {
		t.Run(string(shown), func(t *testing.T) {
			for _, file := range files {
				t.Run(file, func(t *testing.T) {
					t.Parallel()
					v.run(t, shown, file)
				})
			}
		})
	}
	removeCgroups(t, groups)
	if diff := cmp.Diff(before, devices(t)); diff != "" {
		t.Errorf("the machine's devices (-before +after):\n%s", diff)
	}
	if file := os.Getenv("STAVE_RECORD"); file != "" {
		v.record(t, file)
	}
}

// files lists the programs. All that the table has must be there.
func (v *validation) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(v.folder)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tar.gz") && e.Name() != "runtimetest" {
			files = append(files, e.Name())
		}
	}
	for column := range v.known {
		for file := range v.known[column] {
			if !slices.Contains(files, file) {
				t.Errorf("the table knows %s, and %s has no such program", file, v.folder)
			}
		}
	}
	return files
}

// run runs one program and says how it went. A file that no peer passes may fail.
func (v *validation) run(t *testing.T, shown layout, file string) {
	if aboutCgroups(file) {
		v.cgroups.Lock()
		defer v.cgroups.Unlock()
	}
	output, code := inView(t, shown, v.folder, []string{"RUNTIME=" + v.runtime, "TMPDIR=" + temporary(t)}, filepath.Join(v.folder, file))
	s := judge(output, code)
	v.found.Lock()
	v.found.set(string(shown)+"/"+filepath.Base(v.runtime), file, s.String())
	v.found.Unlock()
	switch {
	case os.Getenv("STAVE_RECORD") != "":
		t.Logf("%s\n%s", s, s.complaints)
	case s.passed:
		t.Logf("conform %-8s %-32s passes %d", shown, file, s.good)
	case v.known.owed(shown, file):
		t.Logf("conform %-8s %-32s FAILS  %d of %d, and a peer passes", shown, file, s.good, s.sum)
		t.Errorf("%s\n\nall of its output:\n%s", s.complaints, output)
	default:
		t.Logf("conform %-8s %-32s fails  %d of %d, as the peers do", shown, file, s.good, s.sum)
		t.Skip("no peer passes this file of the validation")
	}
}

// record replaces the columns of this runtime in the file of a table, and keeps its comments. A runtime that can't create
// a container in a layout has no column: it passes files that wait for an error.
func (v *validation) record(t *testing.T, file string) {
	all, err := readTable(file)
	if err != nil {
		t.Fatal(err)
	}
	for column, cells := range v.found.table {
		if delete(all, column); strings.HasPrefix(cells["create"], "+") {
			all[column] = cells
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var comments strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			comments.WriteString(line)
		}
	}
	if err := os.WriteFile(file, []byte(comments.String()+all.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readTable reads the file of a table.
func readTable(file string) (table, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseTable(string(text))
}

// machineLayout is the layout of the machine's cgroups.
func machineLayout(t *testing.T) layout {
	t.Helper()
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers") // where version 2 is not alone there is none
	return layoutOf(string(mounts), string(controllers))
}

// cgroups lists the groups of all hierarchies.
func cgroups(t *testing.T) []string {
	t.Helper()
	var all []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		return nil // a group may vanish meanwhile
	})
	return all
}

// removeCgroups removes the groups that were not there before and have a name as the validation gives them: it ends
// some containers by ending their PID namespace, so that no runtime can delete them.
func removeCgroups(t *testing.T, before []string) {
	t.Helper()
	named := regexp.MustCompile(`/(cgrouptest|testdir|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(/|$)`)
	for _, group := range slices.Backward(cgroups(t)) { // the children of a group come after it
		if named.MatchString(group) && !slices.Contains(before, group) {
			if err := os.Remove(group); err != nil && !os.IsNotExist(err) {
				t.Errorf("remove what the validation left: %v", err)
			}
		}
	}
}

// keepGiven takes back, in the end, the controllers that the runtime makes the top of the version 2 tree give away: in
// the layout empty it can't know that this tree is not for it.
func keepGiven(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.subtree_control")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			after, _ := os.ReadFile(file)
			for controller := range strings.FieldsSeq(string(after)) {
				if slices.Contains(strings.Fields(string(before)), controller) {
					continue
				}
				if err := os.WriteFile(file, []byte("-"+controller), 0); err != nil {
					t.Errorf("take back %s: %v", controller, err)
				}
			}
		})
	}
}
