// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/registry"
	"stave/registry/layout"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// smallDisk is a folder on a file system of 3 MiB. The mount is in the namespace of the witness.
func smallDisk(t *testing.T) string {
	t.Helper()
	witness.Need(t, "root")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// TestFullDisk copies what does not fit: the error says so, what was there is whole, nothing half is left, and smaller things fit.
func TestFullDisk(t *testing.T) {
	l := open(t, filepath.Join(smallDisk(t), "layout"))
	src := memory.New()
	small := storetest.Sample(t, src, "linux/amd64", storetest.Bytes("small", 500_000))
	large := storetest.Sample(t, src, "linux/amd64", storetest.Bytes("large", 4_000_000))
	other := storetest.Sample(t, src, "linux/amd64", storetest.Bytes("other", 1_000_000))
	copyTo := func(name, from string) error {
		_, err := registry.Copy(t.Context(), l, name, src, from, registry.CopyOptions{})
		return err
	}
	if err := copyTo("small", small.Digest.String()); err != nil {
		t.Fatal(err)
	}
	err := copyTo("large", large.Digest.String())
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), l.Dir()) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("copy: %v, want no space left with the folder and what to do", err)
	}
	if _, err := l.Ingest(t.Context(), "x", io.LimitReader(zeros{}, 4_000_000)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("ingest: %v, want no space left", err)
	}
	checkNothingHalf(t, l, "small")
	if err := copyTo("other", other.Digest.String()); err != nil {
		t.Errorf("copy of what fits: %v", err)
	}
	storetest.Same(t, l, other)
}

// TestFullIndex gives a name while the disk has no room for index.json: the old names stay.
func TestFullIndex(t *testing.T) {
	dir := smallDisk(t)
	l := open(t, filepath.Join(dir, "layout"))
	d := storetest.Sample(t, l, "linux/amd64", []byte("x"))
	if err := l.Tag(t.Context(), d, "first"); err != nil {
		t.Fatal(err)
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close()
	if _, err := io.CopyBuffer(filler, zeros{}, make([]byte, os.Getpagesize())); !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), d, "second"); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("tag: %v, want no space left", err)
	}
	if _, err := registry.Copy(t.Context(), l, "third", l, "first", registry.CopyOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("copy: %v, want no space left, for the lease can't be written", err)
	}
	checkNothingHalf(t, l, "first")
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	filler.Close()
	if err := l.Tag(t.Context(), d, "second"); err != nil {
		t.Errorf("tag with room again: %v", err)
	}
}

// checkNothingHalf sees that a layout is whole, has the one name, and nothing of what failed.
func checkNothingHalf(t *testing.T, l *layout.Layout, name string) {
	t.Helper()
	checkWhole(t, l)
	names, err := open(t, l.Dir()).Names(t.Context())
	if err != nil || len(names) != 1 || names[0].Name != name {
		t.Errorf("names: %+v, %v; want %s", names, err, name)
	}
	if left := append(files(t, filepath.Join(l.Dir(), "ingest")), files(t, filepath.Join(l.Dir(), "leases"))...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestReadOnly copies from a folder that can't be written to, and says so of a copy to it.
func TestReadOnly(t *testing.T) {
	dir := smallDisk(t)
	d := storetest.Sample(t, open(t, filepath.Join(dir, "layout")), "linux/amd64", []byte("x"))
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	l, dst := open(t, filepath.Join(dir, "layout")), memory.New()
	if _, err := registry.Copy(t.Context(), dst, "x", l, d.Digest.String(), registry.CopyOptions{}); err != nil {
		t.Errorf("copy from there: %v", err)
	}
	storetest.Same(t, dst, d)
	if _, err := registry.Copy(t.Context(), l, "x", dst, "x", registry.CopyOptions{}); !errors.Is(err, unix.EROFS) {
		t.Errorf("copy to there: %v, want a read-only file system", err)
	}
}
