// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// resolve resolves a name to a manifest, or fails the test.
func resolve(t testing.TB, s registry.Store, ref string, want ocispec.Descriptor) {
	t.Helper()
	got, err := s.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatalf("resolve %s: %v", ref, err)
	}
	if got.Digest != want.Digest || got.Size != want.Size || got.MediaType != want.MediaType {
		t.Fatalf("resolve %s: got %s of %d bytes (%s), want %s of %d bytes (%s)", ref, got.Digest, got.Size, got.MediaType, want.Digest, want.Size, want.MediaType)
	}
}

// tag gives a name, or fails the test.
func tag(t testing.TB, s registry.Store, d ocispec.Descriptor, ref string) {
	t.Helper()
	if err := s.Tag(t.Context(), d, ref); err != nil {
		t.Fatalf("tag %s: %v", ref, err)
	}
}

// testNames names a manifest twice.
func testNames(t *testing.T, s registry.Store) {
	d := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000))
	exists(t, s, d, true)
	resolve(t, s, d.Digest.String(), d)
	for _, name := range []string{"one", "two", "one"} {
		tag(t, s, d, name)
	}
	tag(t, s, d, d.Digest.String())
	resolve(t, s, "one", d)
	resolve(t, s, "two", d)
	Same(t, s, d)
}

// testMoveName gives a name to another manifest.
func testMoveName(t *testing.T, s registry.Store) {
	old, young := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000)), Sample(t, s, "linux/arm64", Bytes(t.Name(), 1001))
	tag(t, s, old, "latest")
	tag(t, s, old, "old")
	tag(t, s, young, "latest")
	resolve(t, s, "latest", young)
	resolve(t, s, "old", old)
	tag(t, s, young, "old")
	resolve(t, s, old.Digest.String(), old)
	Same(t, s, old)
}

// testDelete deletes a name: the other one stays.
func testDelete(t *testing.T, s registry.Store) {
	d := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000))
	tag(t, s, d, "one")
	tag(t, s, d, "two")
	err := s.Delete(t.Context(), "one")
	if errors.Is(err, registry.ErrUnsupported) {
		t.Skipf("not of this one: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), "one"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("resolve what was deleted: %v, want ErrNotFound", err)
	}
	resolve(t, s, "two", d)
	if err := s.Delete(t.Context(), "one"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("delete again: %v, want ErrNotFound", err)
	}
}

// testDeleteDigest deletes a manifest: no name stays.
func testDeleteDigest(t *testing.T, s registry.Store) {
	d, other := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000)), Sample(t, s, "linux/arm64", Bytes(t.Name(), 1001))
	tag(t, s, d, "one")
	tag(t, s, d, "two")
	tag(t, s, other, "other")
	err := s.Delete(t.Context(), d.Digest.String())
	if errors.Is(err, registry.ErrUnsupported) {
		t.Skipf("not of this one: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if _, err := s.Resolve(t.Context(), name); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("resolve %s: %v, want ErrNotFound", name, err)
		}
	}
	resolve(t, s, "other", other)
}

// testList lists names in order.
func testList(t *testing.T, s registry.Store) {
	l, is := s.(registry.Lister)
	if !is {
		t.Skip("not of this one: it lists no names")
	}
	d := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000))
	want := []string{"1.0", "A", "a", "b", "latest"}
	for _, name := range []string{"b", "latest", "A", "1.0", "a"} {
		tag(t, s, d, name)
	}
	var got []string
	for name, err := range l.Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for name, err := range l.Tags(t.Context()) { // stops when told to
		if err != nil || !slices.Contains(want, name) {
			t.Fatal(name, err)
		}
		break
	}
}
