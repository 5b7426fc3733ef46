// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// TestRemoveDeep removes what a container wrote that went deeper than a process has files and a path has letters.
func TestRemoveDeep(t *testing.T) {
	const deep, files = 1500, 256
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "diff", ".up1", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(filepath.Join(dir, "diff"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range deep {
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkdirat(at, "down", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Symlinkat("/", at, "link"); err != nil {
			t.Fatal(err)
		}
		var next int
		next, err = unix.Openat(at, "down", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &usual)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	if err := (unionfs.Overlay{}).Remove(t.Context(), unionfs.Stack{Dir: dir}); err != nil {
		t.Error(err)
	}
	equal(t, "the folder", nil, names(t, dir))
}
