// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
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
	keepDevices(t)
	keepGiven(t)
	groups := cgroups(t)
	t.Cleanup(func() { removeGroups(t, groups, regexp.MustCompile(validationGroups)) })
	for _, shown := range machineLayout(t).views() {
		t.Run(string(shown), func(t *testing.T) {
			for _, file := range files {
				if shown == empty && aboutCgroups(file) && os.Getenv("STAVE_RECORD") == "" {
					continue // without a controller there is nothing that it could look at
				}
				t.Run(file, func(t *testing.T) {
					t.Parallel()
					v.run(t, shown, file)
				})
			}
		})
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

// run runs one program and says how it went. A file that no peer passes may fail, and so may one that is declined.
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
		t.Logf("conform %-8s %-32s FAILS  %d of %d: a peer does it", shown, file, s.good, s.sum)
		t.Errorf("%s\n\nall of its output:\n%s", s.complaints, output)
	case declined(file) != "":
		t.Logf("conform %-8s %-32s fails  %d of %d, declined", shown, file, s.good, s.sum)
		t.Skip("declined: " + declined(file))
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
