// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hook does something at the first write.
type hook struct {
	bytes.Buffer
	do func()
}

// Write does it and writes.
func (h *hook) Write(p []byte) (int, error) {
	h.do()
	return h.Buffer.Write(p)
}

// asked does something when a context is asked for the nth time whether it has ended.
type asked struct {
	context.Context
	n  int
	do func()
}

// Err counts.
func (a *asked) Err() error {
	if a.n--; a.n == 0 {
		a.do()
	}
	return a.Context.Err()
}

// TestVanishes packs folders from which files are removed meanwhile: the archive is whole and has what stayed.
func TestVanishes(t *testing.T) {
	make := func(names ...string) (dir string, remove func(...string) func()) {
		dir = t.TempDir()
		for _, name := range names {
			write(t, filepath.Join(dir, name), name)
		}
		return dir, func(names ...string) func() {
			return sync.OnceFunc(func() {
				for _, name := range names {
					must(t, os.RemoveAll(filepath.Join(dir, name)))
				}
			})
		}
	}
	check := func(name string, data []byte, err error, want ...string) {
		t.Helper()
		must(t, err)
		if diff := cmp.Diff(want, names(t, data)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	dir, remove := make("a", "b", "c/d", "e")
	w := &hook{do: remove("b", "c")}
	err := Pack(t.Context(), w, dir, owned())
	check("pack", w.Bytes(), err, "a", "e")

	old, _ := make("b")
	dir, remove = make("a", "b", "c/d", "e/f")
	w = &hook{do: remove("b", "c", "e/f")}
	must(t, os.Truncate(filepath.Join(dir, "b"), 0))
	err = Diff(t.Context(), w, old, dir, owned())
	check("diff, while it packs", w.Bytes(), err, "a", ".wh.b", "e/")

	dir, remove = make("a", "b", "c/d", "e/f")
	w = &hook{do: func() {}}
	const afterWalks = 5 // of the old tree, the new one, "c" and "e"
	err = Diff(&asked{t.Context(), afterWalks, remove("b", "c", "e/f")}, w, old, dir, owned())
	check("diff, while it compares", w.Bytes(), err, "a", ".wh.b", "e/")
}

// TestRoot packs an entry for the root where it is another one than below, whatever its times are.
func TestRoot(t *testing.T) {
	below, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a"), "")
	o := owned()
	o.Below = below
	for mode, want := range map[os.FileMode][]string{0o755: {"a"}, 0o700: {"./", "a"}} {
		must(t, os.Chmod(below, 0o755))
		must(t, os.Chmod(dir, mode))
		if diff := cmp.Diff(want, names(t, pack(t, dir, o))); diff != "" {
			t.Errorf("packed with %v: %s", mode, diff)
		}
		var w bytes.Buffer
		must(t, Diff(t.Context(), &w, below, dir, owned()))
		if diff := cmp.Diff(want, names(t, w.Bytes())); diff != "" {
			t.Errorf("compared with %v: %s", mode, diff)
		}
	}
}
