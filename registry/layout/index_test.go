// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// TestForeignEntries keeps what others have written into index.json, to the letter, and shows it.
func TestForeignEntries(t *testing.T) {
	l := open(t, t.TempDir())
	first, second := storetest.Sample(t, l, "linux/amd64", []byte("1")), storetest.Sample(t, l, "linux/amd64", []byte("2"))
	foreign := fmt.Sprintf(`{"schemaVersion":2,"annotations":{"theirs":"yes"},"x-field":[1, 2],"manifests":[
	 {"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":"latest"},"x-number":12345678901234567890},
	 {"mediaType":%q,"digest":%q,"size":%d}]}`, first.MediaType, first.Digest, first.Size, second.MediaType, second.Digest, second.Size)
	file := filepath.Join(l.Dir(), "index.json")
	if err := os.WriteFile(file, []byte(foreign), 0o644); err != nil {
		t.Fatal(err)
	}
	const name = "docker.io/library/mine:latest"
	if err := l.Tag(t.Context(), first, name); err != nil {
		t.Fatal(err)
	}
	names, err := l.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range names {
		got = append(got, n.Name+" "+n.Descriptor.Digest.String())
	}
	want := []string{"latest " + first.Digest.String(), " " + second.Digest.String(), name + " " + first.Digest.String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"theirs":"yes"`, `"x-field":[1,2]`, `"x-number":12345678901234567890`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("index.json lost %s:\n%s", part, text)
		}
	}
	if !json.Valid(text) {
		t.Errorf("index.json is no JSON:\n%s", text)
	}
}

// TestLosers keeps what has lost its name, without one, and forgets it when it is deleted.
func TestLosers(t *testing.T) {
	l := open(t, t.TempDir())
	old, young := storetest.Sample(t, l, "linux/amd64", []byte("old")), storetest.Sample(t, l, "linux/amd64", []byte("young"))
	old.Annotations = map[string]string{registry.AnnotationIndex: "sha256:x"}
	for _, d := range []ocispec.Descriptor{old, young, young} {
		if err := l.Tag(t.Context(), d, "latest"); err != nil {
			t.Fatal(err)
		}
	}
	names, err := l.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]registry.Named{{Descriptor: old}, {Name: "latest", Descriptor: young}}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if err := l.Delete(t.Context(), old.Digest.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if has, err := l.Exists(t.Context(), old); has || err != nil {
		t.Errorf("the loser after its deletion: %v, %v", has, err)
	}
}

// TestTagIncomplete gives no name to what is not whole.
func TestTagIncomplete(t *testing.T) {
	l := open(t, t.TempDir())
	d := storetest.Sample(t, l, "linux/amd64", []byte("gone"))
	layer := storetest.Describe([]byte("gone"))
	if err := os.Remove(filepath.Join(l.Dir(), "blobs/sha256", layer.Digest.Encoded())); err != nil {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), d, "x"); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), layer.Digest.String()) {
		t.Errorf("tag: %v, want ErrNotFound with %s", err, layer.Digest)
	}
}

// TestTagsAtOnce loses no name of many that are given at once, through several openings of the folder.
func TestTagsAtOnce(t *testing.T) {
	dir := t.TempDir()
	d := storetest.Sample(t, open(t, dir), "linux/amd64", []byte("x"))
	var taggers sync.WaitGroup
	const openings, names = 4, 10
	for i := range openings {
		l := open(t, dir)
		taggers.Go(func() {
			for j := range names {
				if err := l.Tag(t.Context(), d, fmt.Sprintf("name-%d-%d", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	taggers.Wait()
	count := 0
	for range open(t, dir).Tags(t.Context()) {
		count++
	}
	if count != openings*names {
		t.Errorf("%d names, want %d", count, openings*names)
	}
}

// TestOpen opens what is a layout, and refuses what is none.
func TestOpen(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		says  string
	}{
		"new":            {nil, ""},
		"unfinished":     {map[string]string{"index.json": `{"schemaVersion":2,"manifests":[]}`, "blobs/sha256/x": "", "ingest/index.json": "{"}, ""},
		"of others":      {map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2}`}, ""},
		"without index":  {map[string]string{"oci-layout": `{"imageLayoutVersion":"1.1.0"}`}, ""},
		"other files":    {map[string]string{"letter.txt": "Dear"}, `it has "letter.txt" but no file oci-layout`},
		"other version":  {map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`}, `version "2.0.0"`},
		"no JSON":        {map[string]string{"oci-layout": `x`}, "invalid character"},
		"index no JSON":  {map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `[`}, "index.json"},
		"index no list":  {map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"manifests":{}}`}, "index.json"},
		"index bad path": {map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"manifests":[{"digest":"../x"}]}`}, `"../x"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := use(t, dir)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("error %v, want %q", err, test.says)
			}
		})
	}
}

// use opens a layout and tags an image.
func use(t *testing.T, dir string) error {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		return err
	}
	return l.Tag(t.Context(), storetest.Sample(t, l, "linux/amd64", []byte("x")), "x")
}

// FuzzIndex opens layouts with any index.json: what can be read can be written again, with nothing lost.
func FuzzIndex(f *testing.F) {
	const sum = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	f.Add(`{"schemaVersion":2,"manifests":[]}`)
	f.Add(`{"manifests":[{"mediaType":"m","digest":"` + sum + `","size":2,"annotations":{"org.opencontainers.image.ref.name":"a"},"more":[1]}],"x":1}`)
	f.Add(`{"Manifests":[],"manifests":null}`)
	f.Add(`null`)
	f.Add(`[`)
	dir := f.TempDir()
	l := open(f, dir)
	if _, err := registry.PushManifest(f.Context(), l, ocispec.Manifest{Config: ocispec.DescriptorEmptyJSON}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l := open(t, dir)
		before, err := l.Names(t.Context())
		if err != nil {
			return
		}
		if err := l.Delete(t.Context(), "never there"); err != nil && !errors.Is(err, registry.ErrNotFound) {
			return // it can't be changed, and was not
		}
		d := storetest.Sample(t, l, "linux/amd64")
		if err := l.Tag(t.Context(), d, "new"); err != nil {
			return
		}
		after, err := open(t, dir).Names(t.Context())
		if err != nil {
			t.Fatalf("written from %q: %v", text, err)
		}
		if len(after) < len(before) {
			t.Errorf("%d entries, then %d", len(before), len(after))
		}
	})
}
