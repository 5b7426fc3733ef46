// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWriteOutput writes a file in a folder where somebody else has put links under a name that was foretold, and one that can't be written.
func TestWriteOutput(t *testing.T) {
	dir := t.TempDir()
	victim, name := filepath.Join(dir, "victim"), filepath.Join(dir, "out.tar")
	if err := os.WriteFile(victim, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, name+".part"); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, want := range []error{nil, broken} {
		err := writeOutput(name, func(w io.Writer) error {
			_, err := io.WriteString(w, "archive")
			return errors.Join(err, want)
		})
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if err := writeOutput(filepath.Join(dir, "missing/out.tar"), func(io.Writer) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	got := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Error(err)
		}
		got[entry.Name()] = string(text)
	}
	if diff := cmp.Diff(map[string]string{"out.tar": "archive", "out.tar.part": "precious", "victim": "precious"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
