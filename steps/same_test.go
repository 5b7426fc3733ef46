// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCopies compares the files that every step has a copy of: who reads one has read them all.
func TestCopies(t *testing.T) {
	for _, name := range []string{"run.go", "root.go", "rights.go", "files.go", "escape.go", "group.go", "stack.go", "show.go", "make.go", "inside.go", "look_test.go", "proc_test.go", "status_test.go", "group_test.go"} {
		copies, err := filepath.Glob("*/" + name)
		if err != nil || len(copies) < 2 {
			t.Errorf("%s: copies %v, error %v", name, copies, err)
			continue
		}
		for _, other := range copies[1:] {
			if !bytes.Equal(read(t, copies[0]), read(t, other)) {
				t.Errorf("%s and %s differ", copies[0], other)
			}
		}
	}
}

// TestComplete looks for the parts of each step, and for the step in the table.
func TestComplete(t *testing.T) {
	folders, err := filepath.Glob("[0-9][0-9]-*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("steps %v, error %v", folders, err)
	}
	table := string(read(t, "README.md"))
	for _, folder := range folders {
		for _, name := range []string{"main.go", "main_test.go", "run.go", "README.md"} {
			if len(read(t, filepath.Join(folder, name))) == 0 {
				t.Errorf("%s/%s is empty", folder, name)
			}
		}
		if !strings.Contains(table, "("+folder+"/README.md)") {
			t.Errorf("%s is not in the table of README.md", folder)
		}
		if n := strings.Count(string(read(t, folder+"/README.md")), "\n"); n > 50 {
			t.Errorf("%s/README.md has %d lines: more than one screen", folder, n)
		}
	}
}

// read returns a file.
func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
