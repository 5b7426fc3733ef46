// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stave/unionfs"
)

// TestRootEntry gives the root of a layer what its entry says, whenever that is from: a layer without one has the root of the layer below, also
// where it hides all that is in it.
func TestRootEntry(t *testing.T) {
	var own bytes.Buffer
	archive := tar.NewWriter(&own)
	future := time.Now().AddDate(20, 0, 0)
	if err := archive.WriteHeader(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o701, ModTime: future, Uid: os.Getuid(), Gid: os.Getgid()}); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	layers := newImage(pack(t, "./"), own.Bytes(), pack(t, "a"), pack(t, ".wh..wh..opq", "b")).unpackAll(t, open(t, t.TempDir()))
	for n, want := range []os.FileMode{0o711, 0o701, 0o701, 0o701} {
		if info, err := os.Stat(layers[n].Path); err != nil || info.Mode().Perm() != want {
			t.Errorf("the root of layer %d is %v, %v; wants %v", n, info.Mode(), err, want)
		}
	}
	if !unionfs.Opaque(layers[3].Path, os.Geteuid() != 0) {
		t.Error("the root of the last layer hides nothing")
	}
}

// TestLongPaths unpacks a layer with a path as long, and one as deep, as can be.
func TestLongPaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 250), strings.Repeat("y", 250))
	long, deep := strings.Repeat(strings.Repeat("l", 255)+"/", 11)+strings.Repeat("l", 255), strings.Repeat("d/", 511)+"d"
	got, err := newImage(pack(t, long, deep)).unpack(t.Context(), open(t, dir), 0)
	if err != nil || got.Size != int64(len(long)+len(deep)) {
		t.Errorf("%+v, %v", got, err)
	}
}
