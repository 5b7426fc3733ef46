// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// dirty is how many pages of a file are not on the disk yet, by cachestat(2); none on kernels before 6.5, which do not tell.
func dirty(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Cachestat_t
	err = unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0)
	if errors.Is(err, unix.ENOSYS) {
		return 0
	}
	if err != nil {
		t.Fatalf("cachestat %s: %v", path, err)
	}
	return stat.Dirty + stat.Writeback
}

// TestDurable finds all on the disk once it has a name.
func TestDurable(t *testing.T) {
	src, l := memory.New(), open(t, t.TempDir())
	image := storetest.Sample(t, src, "linux/amd64", storetest.Bytes("a", 3_000_000), storetest.Bytes("b", 10))
	if _, err := registry.Copy(t.Context(), l, "x", src, image.Digest.String(), registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files(t, filepath.Join(l.Dir(), "blobs")), filepath.Join(l.Dir(), "index.json"), filepath.Join(l.Dir(), "oci-layout")) {
		if n := dirty(t, path); n > 0 {
			t.Errorf("%s: %d pages are not on the disk", path, n)
		}
	}
}
