// SPDX-License-Identifier: Apache-2.0

package fuse_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/unionfs"
	"stave/unionfs/drivertest"
	"stave/unionfs/fuse"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestDriver runs the suite that all drivers run.
func TestDriver(t *testing.T) {
	witness.Need(t, "root", "command:fuse-overlayfs", "filesystem:fuse")
	drivertest.Run(t, drivertest.Suite{Driver: fuse.Driver{}, PartsLinks: true, KeepsFolders: true, Coarse: true})
}

// TestServer follows the server of a mount: it ends with Rest, and what was written is there when it is started again, also after it was
// killed.
func TestServer(t *testing.T) {
	witness.Need(t, "root", "command:fuse-overlayfs", "filesystem:fuse")
	dir := t.TempDir()
	layer := filepath.Join(dir, "layer")
	s := unionfs.Stack{Dir: filepath.Join(dir, "container"), Layers: []unionfs.Layer{{Path: layer}}}
	for _, path := range []string{layer, s.Dir} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	driver := fuse.Driver{}
	defer driver.Remove(t.Context(), s)
	kept := filepath.Join(s.Dir, "merged", "kept")
	for i, end := range []func(server int){
		func(int) {
			if err := driver.Rest(s); err != nil {
				t.Error(err)
			}
		},
		func(server int) { unix.Kill(server, unix.SIGKILL) },
		func(int) {
			if err := driver.Remove(t.Context(), s); err != nil {
				t.Error(err)
			}
		},
	} {
		if _, err := driver.Prepare(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(kept); i > 0 && string(got) != strconv.Itoa(i-1) {
			t.Errorf("%d: what was written is %q, %v", i, got, err)
		}
		if err := os.WriteFile(kept, []byte(strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		running := servers(t, s.Dir)
		if len(running) != 1 {
			t.Fatalf("servers: %v", running)
		}
		end(running[0])
		witness.Until(t, "the server has ended", func() bool { return len(servers(t, s.Dir)) == 0 })
	}
}

// servers are the processes that have a folder in their arguments.
func servers(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // of one that ended meanwhile it is empty
		if pid, err := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && strings.Contains(string(text), dir) {
			found = append(found, pid)
		}
	}
	return found
}
