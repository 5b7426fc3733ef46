// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// open opens a layout in a folder.
func open(t testing.TB, dir string) *layout.Layout {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestStore runs the tests that every store passes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Options{
		Open: func(t *testing.T) registry.Store { return open(t, t.TempDir()) },
		Collect: func(ctx context.Context, s registry.Store) error {
			_, err := s.(*layout.Layout).Collect(ctx)
			return err
		},
	})
}

// TestPrivate looks at the modes of the files: those that are locked are for their owner alone, blobs for everybody.
func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	view, release, err := open(t, dir).Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	mode := func(pattern string) fs.FileMode {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) != 1 {
			t.Fatalf("%s: %q, %v", pattern, paths, err)
		}
		stat, err := os.Stat(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		return stat.Mode().Perm()
	}
	data := []byte("blob")
	looking := readerFunc(func(p []byte) (int, error) {
		if got := mode("ingest/*"); got != 0o600 {
			t.Errorf("what comes in has the mode %v", got)
		}
		return copy(p, data), io.EOF
	})
	if err := view.Push(t.Context(), storetest.Describe(data), looking); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]fs.FileMode{"lock": 0o600, "leases/*": 0o600, "blobs/sha256/*": 0o644} {
		if got := mode(pattern); got != want {
			t.Errorf("%s has the mode %v, want %v", pattern, got, want)
		}
	}
}
