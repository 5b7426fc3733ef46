// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stave/engine/images"
	"stave/registry"
)

// encode writes JSON.
func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRemove removes by name and ID, in use and not, and looks at names, layers and blobs that are left.
func TestRemove(t *testing.T) {
	type result struct {
		Untagged []string
		Deleted  int
		Conflict bool
		Left     []string // of the image's names
		Layers   int
	}
	for name_, test := range map[string]struct {
		names []string // besides app:latest
		word  string   // ID stands for the image's
		force bool
		users []images.User
		want  result
	}{
		"last name":          {word: "app", want: result{Untagged: []string{"app:latest", "app@"}, Deleted: 3}},
		"one of two names":   {names: []string{"app:1"}, word: "app:1", want: result{Untagged: []string{"app:1"}, Left: []string{"app:latest"}, Layers: 2}},
		"last of repository": {names: []string{"other:1"}, word: "app", want: result{Untagged: []string{"app:latest", "app@"}, Left: []string{"other:1"}, Layers: 2}},
		"by ID":              {names: []string{"app:1"}, word: "ID", want: result{Untagged: []string{"app:1", "app:latest", "app@"}, Deleted: 3}},
		"by ID, repositories": {
			names: []string{"other:1"}, word: "ID", want: result{Conflict: true, Left: []string{"app:latest", "other:1"}, Layers: 2},
		},
		"by ID, repositories, force": {
			names: []string{"other:1"}, word: "ID", force: true, want: result{Untagged: []string{"app:latest", "other:1", "app@"}, Deleted: 3},
		},
		"used":             {word: "app", users: []images.User{{ID: "c0ffee"}}, want: result{Conflict: true, Left: []string{"app:latest"}, Layers: 2}},
		"used, by ID":      {word: "ID", users: []images.User{{ID: "c0ffee"}}, want: result{Conflict: true, Left: []string{"app:latest"}, Layers: 2}},
		"used, other name": {names: []string{"app:1"}, word: "app:1", users: []images.User{{ID: "c0ffee"}}, want: result{Untagged: []string{"app:1"}, Left: []string{"app:latest"}, Layers: 2}},
		"used, force":      {word: "app", force: true, users: []images.User{{ID: "c0ffee"}}, want: result{Untagged: []string{"app:latest", "app@"}, Deleted: 3}},
		"runs, force":      {word: "app", force: true, users: []images.User{{ID: "c0ffee", Running: true}}, want: result{Untagged: []string{"app:latest", "app@"}, Left: []string{"<none>"}, Layers: 2}},
		"runs, by ID":      {word: "ID", force: true, users: []images.User{{ID: "c0ffee", Running: true}}, want: result{Conflict: true, Left: []string{"app:latest"}, Layers: 2}},
		"by digest":        {word: "app@", want: result{Untagged: []string{"app@"}, Left: []string{"app:latest"}, Layers: 2}},
	} {
		t.Run(name_, func(t *testing.T) {
			w := newWorld(t)
			d, id := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest")
			w.pull("app")
			for _, n := range test.names {
				if err := w.Tag(t.Context(), w.find("app"), tagged(t, n)); err != nil {
					t.Fatal(err)
				}
			}
			for _, u := range test.users {
				u.Image = id
				w.users = append(w.users, u)
			}
			word := strings.NewReplacer("ID", images.Short(id), "@", "@"+d.Digest.String()).Replace(test.word)
			removed, err := w.Remove(t.Context(), word, test.force)
			got := result{Deleted: len(removed.Deleted), Conflict: errors.Is(err, images.ErrConflict), Layers: len(w.layers())}
			if err != nil && !got.Conflict {
				t.Fatal(err)
			}
			for _, n := range removed.Untagged {
				got.Untagged = append(got.Untagged, strings.Replace(registry.Familiar(n), d.Digest.String(), "", 1))
			}
			list, err := w.List(t.Context(), images.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, image := range list {
				for _, n := range image.Names {
					got.Left = append(got.Left, registry.Familiar(n))
				}
				if image.Dangling() {
					got.Left = append(got.Left, "<none>")
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(list) == 0 && len(w.blobs())+len(w.files("layers/holders")) > 0 {
				t.Errorf("left over: blobs %q, holders %q", w.blobs(), w.files("layers/holders"))
			}
			if len(list) == 0 && removed.Bytes < 6 {
				t.Errorf("it says that %d bytes went", removed.Bytes)
			}
		})
	}
}

// TestRemoveKeepsShared removes one of two images that share their lower layer.
func TestRemoveKeepsShared(t *testing.T) {
	w := newWorld(t)
	base := map[string]string{"base": "shared"}
	w.put("docker.io/library/one", spec{layers: []map[string]string{base, {"a": "one"}}}, "latest")
	_, two := w.put("docker.io/library/two", spec{layers: []map[string]string{base, {"a": "two"}}}, "latest")
	w.pull("one")
	w.pull("two")
	if got := len(w.layers()); got != 3 {
		t.Fatalf("%d layers are unpacked, want 3: they share one", got)
	}
	removed, err := w.Remove(t.Context(), "one", false)
	if err != nil || len(removed.Deleted) != 2 || len(w.layers()) != 2 {
		t.Errorf("deleted %q, %v; %d layers are left, want 2", removed.Deleted, err, len(w.layers()))
	}
	if layers, err := w.Unpack(t.Context(), w.find("two")); err != nil || len(layers) != 2 || w.find("two").ID != two {
		t.Errorf("the other image: %v, %v", layers, err)
	}
}

// TestPrune prunes with each option and filter.
func TestPrune(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	for name_, test := range map[string]struct {
		o    images.PruneOptions
		used string
		want []string
	}{
		"dangling":        {want: []string{"young", "old", "labelled"}},
		"all":             {o: images.PruneOptions{All: true}},
		"all but used":    {o: images.PruneOptions{All: true}, used: "young", want: []string{"young"}},
		"until":           {o: images.PruneOptions{All: true, Filter: images.Filter{Until: day(5)}}, want: []string{"young", "labelled"}},
		"label":           {o: images.PruneOptions{All: true, Filter: images.Filter{Labels: []string{"keep=no"}}}, want: []string{"young", "old", "<none>"}},
		"without label":   {o: images.PruneOptions{All: true, Filter: images.Filter{WithoutLabels: []string{"keep"}}}, want: []string{"labelled"}},
		"used dangling":   {used: "<none>", want: []string{"young", "old", "labelled", "<none>"}},
		"dangling, until": {o: images.PruneOptions{Filter: images.Filter{Until: day(1)}}, want: []string{"young", "old", "labelled", "<none>"}},
	} {
		t.Run(name_, func(t *testing.T) {
			w := newWorld(t)
			ids := map[string]digest.Digest{}
			add := func(n string, created time.Time, labels map[string]string) {
				_, ids[n] = w.put("docker.io/library/"+n, spec{
					layers: []map[string]string{{n: n}}, created: created, config: func(c *images.Config) { c.Config.Labels = labels },
				}, "latest")
				w.pull(n)
			}
			add("moved", day(2), nil)
			ids["<none>"] = ids["moved"]
			add("old", day(3), nil)
			add("young", day(9), nil)
			add("labelled", day(8), map[string]string{"keep": "no"})
			if _, err := w.Remove(t.Context(), "moved@"+w.find("moved").Manifest.Digest.String(), false); err != nil {
				t.Fatal(err)
			}
			if err := w.Tag(t.Context(), w.find("young"), tagged(t, "moved")); err != nil { // whose image has no name now
				t.Fatal(err)
			}
			if test.used != "" {
				w.users = []images.User{{ID: "c0ffee", Image: ids[test.used]}}
			}
			before := diskUse(t, w.state)
			removed, err := w.Prune(t.Context(), test.o)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, line := range w.listed() {
				_, id, _ := strings.Cut(line[strings.LastIndex(line, " "):], " ")
				got = append(got, id)
			}
			for _, n := range test.want {
				want = append(want, images.Short(ids[n]))
			}
			less := func(a, b string) bool { return a < b }
			if diff := cmp.Diff(want, got, sorted(less)); diff != "" {
				t.Errorf("left, -want +got:\n%s", diff)
			}
			if freed := before - diskUse(t, w.state); freed < removed.Bytes-4096 || removed.Bytes < 0 || (removed.Bytes == 0) != (len(want) == 4) {
				t.Errorf("it says that %d bytes went; on the disk it is %d", removed.Bytes, freed)
			}
		})
	}
}

// diskUse adds up the sizes of blobs and the files of layers.
func diskUse(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && filepath.Base(path) != "layer.json" && filepath.Base(path) != "index.json" {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// TestAtOnce pulls, removes and prunes at the same time: what is there in the end is whole.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	const number = 6
	for i := range number {
		w.put(fmt.Sprintf("docker.io/library/app%d", i), spec{layers: []map[string]string{{"base": "shared"}, {"own": fmt.Sprint(i)}}}, "latest")
	}
	var group sync.WaitGroup
	for i := range number {
		group.Go(func() {
			s := w.open()
			word := fmt.Sprintf("app%d", i)
			for round := range 8 {
				if _, err := s.Pull(t.Context(), name(t, word), images.PullOptions{}); err != nil {
					t.Errorf("pull %s: %v", word, err)
				}
				if round == 7 {
					continue
				}
				if _, err := s.Remove(t.Context(), word, false); err != nil {
					t.Errorf("remove %s: %v", word, err)
				}
			}
		})
	}
	group.Go(func() {
		for range 10 {
			if _, err := w.open().Prune(t.Context(), images.PruneOptions{}); err != nil {
				t.Errorf("prune: %v", err)
			}
		}
	})
	group.Wait()
	if got := w.listed(); len(got) != number {
		t.Errorf("%d images are there: %q", len(got), got)
	}
	for i := range number {
		image := w.find(fmt.Sprintf("app%d", i))
		layers, err := w.Unpack(t.Context(), image)
		if err != nil {
			t.Error(err)
			continue
		}
		if text, err := os.ReadFile(filepath.Join(layers[1].Path, "own")); err != nil || string(text) != fmt.Sprint(i) {
			t.Errorf("app%d has %q, %v", i, text, err)
		}
		if d, err := image.Layers, error(nil); err != nil || len(d) != 2 {
			t.Error(d, err)
		}
	}
	if _, err := w.Prune(t.Context(), images.PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(w.layers()) != number+1 || len(w.files("layers/holders")) != number || len(w.blobs()) != 3*number+1 {
		t.Errorf("left are %d layers, %d holders and %d blobs", len(w.layers()), len(w.files("layers/holders")), len(w.blobs()))
	}
}

// TestBroken damages an image: the others are listed and removed all the same, nothing is pruned, and the image itself can be removed by
// its name, or pulled again.
func TestBroken(t *testing.T) {
	w := newWorld(t)
	_, id := w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}}}, "latest")
	_, other := w.put("docker.io/library/other", spec{layers: []map[string]string{{"a": "two"}}}, "latest")
	w.pull("app")
	w.pull("other")
	damage := func() {
		if err := os.Truncate(filepath.Join(w.state, "images/blobs/sha256", id.Encoded()), 5); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	list, err := w.List(t.Context(), images.Filter{})
	if len(list) != 1 || list[0].ID != other || err == nil || !strings.Contains(err.Error(), "the image app:latest") {
		t.Errorf("listed are %d images, %v", len(list), err)
	}
	if _, err := w.Find(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if _, err := w.Prune(t.Context(), images.PruneOptions{All: true}); err == nil || len(w.layers()) != 2 {
		t.Errorf("prune: %v, layers %q", err, w.layers())
	}
	w.pull("app")
	if len(w.listed()) != 2 {
		t.Errorf("pulled again, there are %q", w.listed())
	}
	damage()
	if _, err := w.Remove(t.Context(), "missing", false); !errors.Is(err, images.ErrNotFound) {
		t.Error(err)
	}
	for _, word := range []string{"app", "app@" + w.digests("app")} {
		if removed, err := w.Remove(t.Context(), word, false); err != nil || len(removed.Untagged) != 1 {
			t.Errorf("remove %s: %+v, %v", word, removed, err)
		}
	}
	if got := w.listed(); len(got) != 1 || len(w.blobs()) != 3 || len(w.layers()) != 1 {
		t.Errorf("left are %q, blobs %q, layers %q", got, w.blobs(), w.layers())
	}
}

// digests is the digest of the manifest that a registry has.
func (w *world) digests(repository string) string {
	w.t.Helper()
	d, err := w.repo("docker.io/library/"+repository).Resolve(w.t.Context(), "latest")
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Digest.String()
}
