// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stave/unionfs"
	"stave/unionfs/layer"
)

// built is when the files of archives are from.
var built = time.Date(2009, 1, 1, 0, 0, 0, 0, time.UTC)

// pack makes a layer archive of names: "dir/", "dir/file", "dir/.wh.gone". A file's content is its name, in capitals where so given.
func pack(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	for _, name := range names {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: built, Uid: os.Getuid(), Gid: os.Getgid(), Size: int64(len(name))}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o711, 0
		}
		if err := archive.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, name[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// image is archives with their digests, the lowest first.
type image struct {
	archives       [][]byte
	diffIDs, chain []digest.Digest
}

// newImage names archives.
func newImage(archives ...[]byte) image {
	i := image{archives: archives}
	for _, a := range archives {
		i.diffIDs = append(i.diffIDs, digest.FromBytes(a))
	}
	i.chain = unionfs.ChainIDs(i.diffIDs)
	return i
}

// unpack unpacks the layer with a number.
func (i image) unpack(ctx context.Context, l *unionfs.Layers, n int) (unionfs.Layer, error) {
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(i.archives[n])), nil }
	return l.Unpack(ctx, i.chain[:n+1], i.diffIDs[n], open)
}

// unpackAll unpacks all layers at once.
func (i image) unpackAll(t testing.TB, l *unionfs.Layers) []unionfs.Layer {
	t.Helper()
	layers := make([]unionfs.Layer, len(i.archives))
	var group sync.WaitGroup
	for n := range i.archives {
		group.Go(func() {
			var err error
			if layers[n], err = i.unpack(t.Context(), l, n); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	return layers
}

// open opens a folder of layers as the caller may.
func open(t testing.TB, dir string) *unionfs.Layers {
	t.Helper()
	user := os.Geteuid() != 0
	l, err := unionfs.OpenLayers(dir, unionfs.LayersOptions{Layer: layer.Options{UserXattr: user, SkipOwners: user}})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// names lists a folder.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

// equal compares two lists, whatever their order.
func equal(t testing.TB, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestUnpack unpacks the layers of an image in parallel, and again, and compressed.
func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var archives [][]byte
	for n := range 30 {
		archives = append(archives, pack(t, fmt.Sprint("dir/file", n), fmt.Sprint("file", n)))
	}
	i := newImage(archives...)
	first := i.unpackAll(t, l)
	if t.Failed() {
		return
	}
	for n, got := range first {
		if got.ChainID != i.chain[n] || got.DiffID != i.diffIDs[n] || got.Size != int64(len(fmt.Sprint("dir/file", n, "file", n))) {
			t.Errorf("layer %d is %+v", n, got)
		}
		if text, err := os.ReadFile(filepath.Join(got.Path, fmt.Sprint("file", n))); err != nil || string(text) != fmt.Sprint("file", n) {
			t.Errorf("file%d is %q, %v", n, text, err)
		}
	}
	before, err := os.Stat(first[3].Path)
	if err != nil {
		t.Fatal(err)
	}
	again := i.unpackAll(t, l)
	after, err := os.Stat(again[3].Path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("unpacked anew: %v, %v", again[3], err)
	}
	want := []string{"holders"}
	for _, chain := range i.chain {
		want = append(want, chain.Encoded())
	}
	equal(t, "the folder", want, names(t, dir))
}

// TestCompressed unpacks an archive that is compressed.
func TestCompressed(t *testing.T) {
	plain := pack(t, "file")
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(plain)
	w.Close()
	i := newImage(plain)
	i.archives[0] = b.Bytes()
	if _, err := i.unpack(t.Context(), open(t, t.TempDir()), 0); err != nil {
		t.Error(err)
	}
}

// TestRefused hands over archives that must not become layers. Nothing is left of them, and the error names the layer.
func TestRefused(t *testing.T) {
	good := newImage(pack(t, "file"), pack(t, "other"))
	for name, c := range map[string]struct {
		image  image
		change func(*image)
		want   string
	}{
		"outside":     {image: newImage(pack(t, "a", "../../outside"))},
		"another":     {image: good, change: func(i *image) { i.archives = [][]byte{i.archives[1]} }, want: "has the digest " + good.diffIDs[1].String()},
		"cut off":     {image: good, change: func(i *image) { i.archives = [][]byte{i.archives[0][:600]} }},
		"garbage":     {image: newImage([]byte("this is no archive, but long enough to be taken for one"))},
		"chain":       {image: good, change: func(i *image) { i.chain = i.chain[1:] }, want: "its chain ID is " + good.diffIDs[0].String()},
		"no chain":    {image: good, change: func(i *image) { i.chain = []digest.Digest{"sha256:../../../etc"} }},
		"no diff ID":  {image: good, change: func(i *image) { i.diffIDs = []digest.Digest{"sha256:12"} }},
		"can't open":  {image: good, change: func(i *image) { i.archives = nil }, want: "no archive"},
		"bad archive": {image: newImage(append([]byte{0x1f, 0x8b, 8}, make([]byte, 600)...))},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			l := open(t, dir)
			i := c.image
			if c.change != nil {
				c.change(&i)
			}
			_, err := l.Unpack(t.Context(), i.chain[:1], i.diffIDs[0], func() (io.ReadCloser, error) {
				if len(i.archives) == 0 {
					return nil, errors.New("no archive")
				}
				return io.NopCloser(bytes.NewReader(i.archives[0])), nil
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), i.diffIDs[0].String()) {
				t.Errorf("error %v, wants %q", err, c.want)
			}
			equal(t, "the folder", []string{"holders"}, names(t, dir))
			equal(t, "the folder above", []string{"b"}, names(t, filepath.Dir(dir)))
		})
	}
}

// TestInherit unpacks a layer that says nothing of a folder which the layer below has; and one whose whiteouts hide nothing.
func TestInherit(t *testing.T) {
	l := open(t, t.TempDir())
	i := newImage(
		pack(t, "./", "secret/", "secret/a", "gone/", "gone/b", ".wh.nothing"),
		pack(t, "secret/b", "secret/.wh.a", "new/.wh.c", "gone/.wh..wh..opq", "gone/.wh.b", ".wh.other"),
	)
	layers := i.unpackAll(t, l)
	if t.Failed() {
		return
	}
	for _, path := range []string{layers[1].Path, filepath.Join(layers[1].Path, "secret")} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o711 || !info.ModTime().Equal(built) {
			t.Errorf("%s: %v %v, %v; wants those of the layer below", path, info.Mode(), info.ModTime(), err)
		}
	}
	for folder, want := range map[string][]string{
		layers[0].Path:             {"secret", "gone"},
		layers[1].Path:             {"secret", "new", "gone", "other"},
		layers[1].Path + "/secret": {"a", "b"},
		layers[1].Path + "/new":    {},
		layers[1].Path + "/gone":   {},
	} {
		equal(t, folder, want, names(t, folder))
	}
}

// TestCollect removes the layers that nobody holds, and what dead processes left.
func TestCollect(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	i := newImage(pack(t, "a"), pack(t, "b"), pack(t, "c"))
	for n, holders := range [][]string{{"one", "two"}, {"two"}, nil} {
		for _, holder := range holders {
			for range 2 { // the second time changes nothing
				if err := l.Refer(i.chain[n], holder); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	layers := i.unpackAll(t, l)
	if err := os.MkdirAll(filepath.Join(dir, "."+strings.Repeat("a", 64), "fs", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		release string
		left    []int
		bytes   int64
	}{
		{"nobody", []int{0, 1}, 1},
		{"two", []int{0}, 1},
		{"one", nil, 1},
		{"one", nil, 0},
	} {
		if err := l.Release(step.release); err != nil {
			t.Fatal(err)
		}
		got, err := l.Collect(t.Context())
		if err != nil || got.Bytes != step.bytes || got.Layers != int(step.bytes) {
			t.Errorf("without %s: %+v, %v", step.release, got, err)
		}
		want := []string{"holders"}
		for n := range layers {
			_, err := l.Get(i.chain[n])
			if there := slices.Contains(step.left, n); there != (err == nil) || !there && !errors.Is(err, unionfs.ErrNoLayer) {
				t.Errorf("without %s: layer %d: %v", step.release, n, err)
			}
			if slices.Contains(step.left, n) {
				want = append(want, i.chain[n].Encoded())
			}
		}
		equal(t, "without "+step.release, want, names(t, dir))
	}
	for _, bad := range []string{"", ".", "..", "a/b", ".hidden"} {
		if err := l.Refer(i.chain[0], bad); err == nil {
			t.Errorf("a holder may be named %q", bad)
		}
	}
}

// TestTakeOver unpacks a layer where another process died meanwhile.
func TestTakeOver(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	i := newImage(pack(t, "a"), pack(t, "b"))
	if _, err := i.unpack(t.Context(), l, 0); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "."+i.chain[1].Encoded())
	if err := os.MkdirAll(filepath.Join(left, "fs", "left"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := i.unpack(t.Context(), l, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the layer", []string{"b"}, names(t, got.Path))
	equal(t, "the folder", []string{"holders", i.chain[0].Encoded(), i.chain[1].Encoded()}, names(t, dir))
}

// TestCrash changes layers of an earlier boot as a crash of the machine does.
func TestCrash(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		whole  bool
	}{
		"whole":          {func(string) error { return nil }, true},
		"empty file":     {func(dir string) error { return os.Truncate(filepath.Join(dir, "fs", "dir", "file"), 0) }, false},
		"lost file":      {func(dir string) error { return os.Remove(filepath.Join(dir, "fs", "dir", "file")) }, false},
		"lost files":     {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "fs")) }, false},
		"empty record":   {func(dir string) error { return os.Truncate(filepath.Join(dir, "layer.json"), 0) }, false},
		"another record": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "layer.json"), []byte("{}"), 0o644) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			i := newImage(pack(t, "dir/", "dir/file"))
			i.unpackAll(t, l)
			folder := filepath.Join(dir, i.chain[0].Encoded())
			setBoot(t, folder)
			if err := c.change(folder); err != nil {
				t.Fatal(err)
			}
			_, err := l.Get(i.chain[0])
			if (err == nil) != c.whole || !c.whole && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after the crash: %v", err)
			}
			if c.whole && boot(t, folder) != "" {
				t.Error("it will be counted again")
			}
			made, err := i.unpack(t.Context(), l, 0)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(filepath.Join(made.Path, "dir", "file")); string(text) != "dir/file" {
				t.Errorf("the file is %q, %v", text, err)
			}
			equal(t, "the folder", []string{"holders", i.chain[0].Encoded()}, names(t, dir))
		})
	}
}

// recordOf reads the record of a layer.
func recordOf(t testing.TB, folder string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "layer.json"))
	if err != nil {
		t.Fatal(err)
	}
	record := map[string]any{}
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	return record
}

// boot is the boot in which a layer was made, if it was not counted since.
func boot(t testing.TB, folder string) string {
	t.Helper()
	name, _ := recordOf(t, folder)["boot"].(string)
	return name
}

// setBoot makes a layer one of an earlier boot.
func setBoot(t testing.TB, folder string) {
	t.Helper()
	if boot(t, folder) == "" {
		t.Fatal("the record has no boot")
	}
	record := recordOf(t, folder)
	record["boot"] = "before"
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "layer.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestVanished removes the layer below while one is unpacked that needs it. One that may still come is waited for.
func TestVanished(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	i := newImage(pack(t, "below/"), pack(t, "below/b"))
	i.unpackAll(t, l)
	if err := os.RemoveAll(filepath.Join(dir, i.chain[1].Encoded())); err != nil {
		t.Fatal(err)
	}
	_, err := l.Unpack(t.Context(), i.chain, i.diffIDs[1], func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(i.archives[1])), os.RemoveAll(filepath.Join(dir, i.chain[0].Encoded()))
	})
	if !errors.Is(err, unionfs.ErrNoLayer) || !strings.Contains(err.Error(), "the layer below was removed meanwhile: "+i.chain[0].String()) {
		t.Errorf("error %v", err)
	}
	equal(t, "the folder", []string{"holders"}, names(t, dir))
}

// TestMode closes a folder that was open to others.
func TestMode(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
}

// TestCancelled ends while the layer waits for the one below.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	i := newImage(pack(t, "a"), pack(t, "below/b"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(20))*time.Millisecond)
	defer cancel()
	if _, err := i.unpack(ctx, open(t, dir), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	equal(t, "the folder", []string{"holders"}, names(t, dir))
}
