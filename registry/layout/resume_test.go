// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// counting is a reader that can seek and counts what is read of it.
type counting struct {
	*bytes.Reader
	read int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// partial is the path of what an unfinished push has.
func partial(l *layout.Layout, d ocispec.Descriptor) string {
	return filepath.Join(l.Dir(), "ingest", "sha256-"+d.Digest.Encoded())
}

// TestResume goes on with what there is of a blob, whatever that is, and reads no more than it must.
func TestResume(t *testing.T) {
	data := storetest.Bytes("data", 1_000_000)
	wrong := bytes.Clone(data[:600_000])
	wrong[5] ^= 1
	tests := map[string]struct {
		there []byte
		read  int
	}{
		"nothing":   {nil, 1_000_000},
		"a part":    {data[:600_000], 400_000},
		"all":       {data, 0},
		"wrong":     {wrong, 1_400_000}, // which only the end tells
		"too long":  {append(bytes.Clone(data), 'x'), 1_000_000},
		"all wrong": {make([]byte, 1_000_000), 1_000_000},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir())
			d := storetest.Describe(data)
			if err := os.WriteFile(partial(l, d), test.there, 0o644); err != nil {
				t.Fatal(err)
			}
			r := &counting{Reader: bytes.NewReader(data)}
			if err := l.Push(t.Context(), d, r); err != nil {
				t.Fatal(err)
			}
			if r.read != test.read {
				t.Errorf("read %d bytes, want %d", r.read, test.read)
			}
			checkWhole(t, l)
			if left := files(t, filepath.Join(l.Dir(), "ingest")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestCutOff keeps what a reader gave before it broke, goes on there, and forgets it where the reader can't.
func TestCutOff(t *testing.T) {
	l := open(t, t.TempDir())
	data := storetest.Bytes("data", 1_000_000)
	d := storetest.Describe(data)
	broken := errors.New("cable cut")
	if err := l.Push(t.Context(), d, io.MultiReader(bytes.NewReader(data[:700_000]), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Fatalf("push: %v", err)
	}
	if stat, err := os.Stat(partial(l, d)); err != nil || stat.Size() != 700_000 {
		t.Fatalf("kept: %v, %v", stat, err)
	}
	r := &counting{Reader: bytes.NewReader(data)}
	if err := l.Push(t.Context(), d, r); err != nil || r.read != 300_000 {
		t.Errorf("push: %v, read %d", err, r.read)
	}
	other := storetest.Describe(data[:999_999])
	if err := os.WriteFile(partial(l, other), data[:10], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Push(t.Context(), other, bytes.NewBuffer(data[:999_999])); err != nil {
		t.Errorf("push of a stream over a part: %v", err)
	}
	checkWhole(t, l)
}

// TestResumeEvents says in a copy where it goes on.
func TestResumeEvents(t *testing.T) {
	src, l := open(t, t.TempDir()), open(t, t.TempDir())
	data := storetest.Bytes("data", 1_000_000)
	image := storetest.Sample(t, src, "linux/amd64", data)
	d := storetest.Describe(data)
	if err := os.WriteFile(partial(l, d), data[:600_000], 0o644); err != nil {
		t.Fatal(err)
	}
	var first int64
	_, err := registry.Copy(t.Context(), l, "x", src, image.Digest.String(), registry.CopyOptions{Progress: func(e registry.Event) {
		if e.Descriptor.Digest == d.Digest && e.Stage == registry.Progressed && first == 0 {
			first = e.Offset
		}
	}})
	if err != nil || first != 600_000 {
		t.Errorf("the first step was at %d, %v; want 600000", first, err)
	}
	checkWhole(t, l)
}

// TestStale removes with a collection what nobody will go on with, and what nobody can.
func TestStale(t *testing.T) {
	l := open(t, t.TempDir())
	fresh, old := storetest.Describe([]byte("fresh")), storetest.Describe([]byte("old"))
	dead := filepath.Join(l.Dir(), "ingest", "new-DEAD")
	for _, path := range []string{partial(l, fresh), partial(l, old), dead} {
		if err := os.WriteFile(path, []byte("part"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(partial(l, old), yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	busy, err := l.Ingest(t.Context(), "x", readerFunc(func([]byte) (int, error) { // while it runs, its file stays
		c, err := l.Collect(t.Context())
		if err != nil || c.Bytes != 8 || c.Blobs != 0 {
			t.Errorf("collected %+v, %v; want 8 bytes", c, err)
		}
		return 0, io.EOF
	}))
	if err != nil {
		t.Fatal(err)
	}
	if left := files(t, filepath.Join(l.Dir(), "ingest")); len(left) != 1 || left[0] != partial(l, fresh) {
		t.Errorf("left: %v", left)
	}
	if has, err := l.Exists(t.Context(), busy); !has || err != nil {
		t.Errorf("what was ingested meanwhile: %v, %v", has, err)
	}
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestDamaged refuses a blob that was changed on the disk, naming it, and replaces one that was cut.
func TestDamaged(t *testing.T) {
	l, dst := open(t, t.TempDir()), open(t, t.TempDir())
	data := storetest.Bytes("data", 300_000)
	image := storetest.Sample(t, l, "linux/amd64", data)
	d := storetest.Describe(data)
	path := filepath.Join(l.Dir(), "blobs/sha256", d.Digest.Encoded())
	flipped := bytes.Clone(data)
	flipped[123_456] ^= 1
	if err := os.WriteFile(path, flipped, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := registry.Copy(t.Context(), dst, "x", l, image.Digest.String(), registry.CopyOptions{})
	if !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), d.Digest.String()) || !strings.Contains(err.Error(), "remove it and pull") {
		t.Errorf("copy: %v", err)
	}
	checkWhole(t, dst)
	manifest := filepath.Join(l.Dir(), "blobs/sha256", image.Digest.Encoded())
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, bytes.ToUpper(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.FetchManifest(t.Context(), l, image); !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), manifest) {
		t.Errorf("read the manifest: %v", err)
	}
	if err := os.Truncate(path, 1000); err != nil { // as a power cut may
		t.Fatal(err)
	}
	if has, err := l.Exists(t.Context(), d); has || err != nil {
		t.Errorf("a blob that was cut exists: %v, %v", has, err)
	}
	if err := l.Push(t.Context(), d, bytes.NewReader(data)); err != nil {
		t.Errorf("push again: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after that the file has %d bytes, %v", len(got), err)
	}
}
