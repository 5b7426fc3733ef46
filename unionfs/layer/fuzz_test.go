// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzUnpack unpacks any bytes: nothing changes outside the folder, and what was unpacked can be packed and comes back the same.
func FuzzUnpack(f *testing.F) {
	for _, entries := range [][]entry{
		{{name: "a/b", content: "content"}, {name: "c", kind: tar.TypeLink, link: "a/b"}, {name: "d", kind: tar.TypeSymlink, link: "../out"}, {name: "d/e"}},
		{{name: "a", kind: tar.TypeDir}, {name: ".wh.a"}, {name: "a/.wh..wh..opq"}, {name: "f", kind: tar.TypeFifo}},
		{{name: "a", header: paxRecord("SCHILY.xattr.user.a", "b")}, {name: "b", header: paxRecord("LIBARCHIVE.xattr.user.c", "Yg==")}},
		{{name: "a", kind: tar.TypeSymlink, link: "."}, {name: "a/a/a/.wh.b"}, {name: "/x/../y"}},
	} {
		f.Add(archive(f, entries...))
	}
	f.Add(sparseArchive(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		contained(t, data)
	})
}

// FuzzEntries unpacks archives of any entries, so that no time is lost with wrong check sums. A line of the input is an entry: a letter for its
// kind, its name, a blank and a link's target or a file's content.
func FuzzEntries(f *testing.F) {
	for _, seed := range []string{
		"0a/b content\n1c a/b\n2d ../out\n0d/victim evil",
		"5a\n0.wh.a\n0a/.wh..wh..opq\n6f\n0.wh.f",
		"2a .\n0a/a/a/.wh.b\n0/x/../y\n2b /\n0b/c",
		"0.wh.a\n0a/b\n2a c\n5c\n0a/d\n1e a",
		"2a b\n2b a\n1c a\n0c/d\n5a\n1a/x b",
		"3null\n4block\n7a x\nga\nxa\n5.\n0..wh.a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		var data bytes.Buffer
		w := tar.NewWriter(&data)
		for line := range strings.SplitSeq(script, "\n") {
			if line == "" {
				continue
			}
			name, rest, _ := strings.Cut(line[1:], " ")
			h := &tar.Header{Name: name, Typeflag: line[0], Mode: 0o755}
			if h.Typeflag == tar.TypeReg {
				h.Size = int64(len(rest))
			} else {
				h.Linkname = rest
			}
			if w.WriteHeader(h) == nil && h.Size > 0 {
				_, err := w.Write([]byte(rest))
				must(t, err)
			}
		}
		must(t, w.Close())
		contained(t, data.Bytes())
	})
}

// contained unpacks an archive and looks around.
func contained(t *testing.T, data []byte) {
	t.Helper()
	above := t.TempDir()
	folder, outside := filepath.Join(above, "folder"), filepath.Join(above, "out")
	must(t, os.Mkdir(folder, 0o755))
	write(t, filepath.Join(outside, "victim"), "precious")
	before := manifest(t, outside)
	o := owned()
	o.SkipDevices, o.Limits = true, Limits{Bytes: 1 << 20, Entries: 100}
	_, err := Unpack(t.Context(), folder, bytes.NewReader(data), o)
	if diff := cmp.Diff(before, manifest(t, outside)); diff != "" {
		t.Fatalf("outside of the folder: %s", diff)
	}
	if names, e := os.ReadDir(above); e != nil || len(names) != 2 {
		t.Fatalf("beside the folder: %v, %v", names, e)
	}
	if err == nil {
		again(t, folder)
	}
}

// sparseArchive is GNU tar's of a file with holes, or empty without GNU tar.
func sparseArchive(f *testing.F) []byte {
	if _, err := exec.LookPath("tar"); err != nil {
		return nil
	}
	dir := f.TempDir()
	write(f, filepath.Join(dir, "f"), "data")
	must(f, os.Truncate(filepath.Join(dir, "f"), 1<<19))
	return gnuTar(f, dir, "--sparse")
}

// again packs what was unpacked, and unpacks that.
func again(t *testing.T, folder string) {
	t.Helper()
	first := pack(t, folder, owned())
	second, _ := unpack(t, first, owned())
	if !bytes.Equal(first, pack(t, second, owned())) {
		t.Error("packed, unpacked and packed again, the bytes are others")
	}
}

// FuzzDecompress reads any bytes to some length.
func FuzzDecompress(f *testing.F) {
	for _, c := range []Compression{None, Gzip, Zstd} {
		packed, _ := compress(f, []byte("some text, some text, some text"), c, 0, 10)
		f.Add(packed)
	}
	f.Add([]byte("BZh9"))
	f.Add([]byte("\x50\x2a\x4d\x18\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decompress(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<24)) // it may fail, but not fall over
	})
}
