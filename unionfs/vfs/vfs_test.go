// SPDX-License-Identifier: Apache-2.0

package vfs_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/unionfs"
	"stave/unionfs/drivertest"
	"stave/unionfs/vfs"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestDriver runs the suite that all drivers run.
func TestDriver(t *testing.T) {
	witness.Need(t, "root")
	drivertest.Run(t, drivertest.Suite{Driver: vfs.Driver{}})
}

// TestHoles copies files with holes at the beginning, in the middle and at the end: the copies have the same content, and the holes.
func TestHoles(t *testing.T) {
	const length = 8 << 20
	for name, data := range map[string][]int64{
		"none":      {},
		"beginning": {length - 5},
		"middle":    {0, length - 5},
		"end":       {0},
		"many":      {1 << 20, 3 << 20, 6 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			layer, tree := t.TempDir(), t.TempDir()
			f, err := os.Create(filepath.Join(layer, "file"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, at := range data {
				if _, err := f.WriteAt([]byte("data!"), at); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Truncate(length); err != nil {
				t.Fatal(err)
			}
			if err := vfs.Apply(t.Context(), layer, tree, vfs.Options{}); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(tree, "file")
			if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the copy has %d bytes of %d, %v", len(got), len(want), err)
			}
			if got, most := blocks(t, copied), blocks(t, f.Name()); got > most {
				t.Errorf("the copy takes %d blocks, the file %d", got, most)
			}
		})
	}
}

// blocks is how many blocks of 512 bytes a file takes.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Blocks
}

// TestSharedBlocks copies a large file on file systems that share blocks between files: it takes no room. Written to, the copy takes some.
func TestSharedBlocks(t *testing.T) {
	for _, kind := range []string{"btrfs", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			witness.Need(t, "root", "filesystem:"+kind, "command:mkfs."+kind)
			const size = 64 << 20
			dir := drivertest.Disk(t, kind)(t)
			s := unionfs.Stack{Dir: filepath.Join(dir, "container"), Layers: []unionfs.Layer{{Path: filepath.Join(dir, "layer")}}}
			for _, path := range []string{s.Dir, s.Layers[0].Path} {
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			large := make([]byte, size)
			rand.NewChaCha8([32]byte{}).Read(large)
			if err := os.WriteFile(filepath.Join(s.Layers[0].Path, "large"), large, 0o644); err != nil {
				t.Fatal(err)
			}
			before := free(t, dir)
			root, err := vfs.Driver{}.Prepare(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if used := before - free(t, dir); used > size/8 {
				t.Errorf("the copy takes %d bytes", used)
			}
			file := filepath.Join(root.Path, "large")
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, large) {
				t.Errorf("the copy is another file, %v", err)
			}
			if err := os.WriteFile(file, large, 0o644); err != nil {
				t.Fatal(err)
			}
			if used := before - free(t, dir); used < size/2 {
				t.Errorf("after it was written the copy takes %d bytes", used)
			}
		})
	}
}

// free is how many bytes a file system has left when all is written.
func free(t *testing.T, dir string) int64 {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Bavail) * stat.Bsize
}
