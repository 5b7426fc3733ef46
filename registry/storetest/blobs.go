// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// errBroken is what a reader fails with.
var errBroken = errors.New("broken")

// testBlob pushes and fetches, and pushes again, which must not read.
func testBlob(t *testing.T, s registry.Store) {
	data := Bytes(t.Name(), 1<<20+7)
	d := Describe(data)
	exists(t, s, d, false)
	push(t, s, d, data)
	exists(t, s, d, true)
	if got := fetch(t, s, d); !bytes.Equal(got, data) {
		t.Fatal("fetched other bytes")
	}
	if err := s.Push(t.Context(), d, iotest.ErrReader(errBroken)); err != nil {
		t.Fatalf("second push: %v", err)
	}
}

// testEmptyBlob pushes nothing.
func testEmptyBlob(t *testing.T, s registry.Store) {
	d := Describe(nil)
	push(t, s, d, nil)
	exists(t, s, d, true)
	fetch(t, s, d)
}

// testWrongBytes pushes other bytes than the descriptor says, fewer and more.
func testWrongBytes(t *testing.T, s registry.Store) {
	right := Bytes(t.Name(), 300_000)
	flipped := bytes.Clone(right)
	flipped[200_000] ^= 1
	d := Describe(right)
	wrong := map[string][]byte{"flipped": flipped, "short": right[:250_000], "long": append(bytes.Clone(right), 'x'), "none": nil}
	for name, data := range wrong {
		for form, r := range map[string]io.Reader{"seeker": bytes.NewReader(data), "stream": iotest.HalfReader(bytes.NewBuffer(bytes.Clone(data)))} {
			err := s.Push(t.Context(), d, r)
			if !errors.Is(err, registry.ErrDigest) {
				t.Errorf("%s, %s: %v, want ErrDigest", name, form, err)
				continue
			}
			if !strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("%s, %s: %v does not name %s", name, form, err, d.Digest)
			}
			if got := digest.FromBytes(data).String(); name == "flipped" && !strings.Contains(err.Error(), got) {
				t.Errorf("%s, %s: %v does not name %s", name, form, err, got)
			}
			exists(t, s, d, false)
		}
	}
	push(t, s, d, right)
	fetch(t, s, d)
}

// testBrokenReader breaks in the middle of a push, and pushes again.
func testBrokenReader(t *testing.T, s registry.Store) {
	data := Bytes(t.Name(), 1<<20)
	d := Describe(data)
	for _, cut := range []int{0, 1, 500_000} {
		err := s.Push(t.Context(), d, io.MultiReader(bytes.NewReader(data[:cut]), iotest.ErrReader(errBroken)))
		if !errors.Is(err, errBroken) {
			t.Errorf("cut at %d: %v, want the reader's error", cut, err)
		}
		exists(t, s, d, false)
	}
	push(t, s, d, data)
	fetch(t, s, d)
}

// testCancelled cancels a push whose reader gives nothing more until then.
func testCancelled(t *testing.T, s registry.Store) {
	data := Bytes(t.Name(), 100_000)
	d := Describe(data)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	})
	if err := s.Push(ctx, d, io.MultiReader(bytes.NewReader(data[:50_000]), wait)); !errors.Is(err, context.Canceled) {
		t.Errorf("push: %v, want context.Canceled", err)
	}
	exists(t, s, d, false)
	push(t, s, d, data)
	fetch(t, s, d)
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

// Read calls it.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// testMalformed uses digests that would be paths.
func testMalformed(t *testing.T, s registry.Store) {
	for _, bad := range []digest.Digest{"", "sha256:", "sha256:../../etc/passwd", "../../../x:0", digest.Digest("sha256:" + strings.Repeat("A", 64)), digest.Digest("md5:" + strings.Repeat("a", 32))} {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: bad, Size: 1}
		if err := s.Push(t.Context(), d, strings.NewReader("x")); err == nil {
			t.Errorf("push %q: no error", bad)
		}
		if has, err := s.Exists(t.Context(), d); has || err == nil {
			t.Errorf("exists %q: %v, %v; want an error", bad, has, err)
		}
		if r, err := s.Fetch(t.Context(), d); err == nil {
			r.Close()
			t.Errorf("fetch %q: no error", bad)
		}
	}
}

// testMissing asks for what is not there.
func testMissing(t *testing.T, s registry.Store) {
	d := Describe(Bytes(t.Name(), 10))
	if r, err := s.Fetch(t.Context(), d); err == nil {
		_, err = io.ReadAll(r) // a registry may only be asked now
		r.Close()
		if !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("fetch and read: %v, want ErrNotFound", err)
		}
	} else if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("fetch: %v, want ErrNotFound", err)
	}
	d.MediaType = ocispec.MediaTypeImageManifest
	for _, ref := range []string{"missing", d.Digest.String()} {
		if _, err := s.Resolve(t.Context(), ref); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("resolve %s: %v, want ErrNotFound", ref, err)
		}
	}
	if err := s.Tag(t.Context(), d, "missing"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("tag: %v, want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), "missing"); !errors.Is(err, registry.ErrNotFound) && !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("delete: %v, want ErrNotFound", err)
	}
}

// testSeek reads from the middle, and again.
func testSeek(t *testing.T, s registry.Store) {
	data := Bytes(t.Name(), 200_000)
	d := Describe(data)
	push(t, s, d, data)
	r, err := s.Fetch(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seeker, is := r.(io.Seeker)
	if !is {
		t.Skip("not of this one: its readers can't seek")
	}
	for _, at := range []int64{0, 150_000, 10, 200_000, 0} {
		if to, err := seeker.Seek(at, io.SeekStart); err != nil || to != at {
			t.Fatalf("seek to %d: %d, %v", at, to, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[at:]) {
			t.Fatalf("read from %d: %d bytes, %v", at, len(got), err)
		}
	}
}

// testIngest pushes bytes without a digest.
func testIngest(t *testing.T, s registry.Store) {
	i, is := s.(registry.Ingester)
	if !is {
		t.Skip("not of this one: it wants digests")
	}
	data := Bytes(t.Name(), 700_000)
	got, err := i.Ingest(t.Context(), "text/plain", bytes.NewReader(data))
	want := Describe(data)
	if err != nil || got.Digest != want.Digest || got.Size != want.Size || got.MediaType != "text/plain" {
		t.Fatalf("ingest: %+v, %v", got, err)
	}
	fetch(t, s, got)
	if _, err := i.Ingest(t.Context(), "text/plain", iotest.ErrReader(errBroken)); !errors.Is(err, errBroken) {
		t.Errorf("ingest from a broken reader: %v", err)
	}
}
