// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/engine/images"
	"stave/registry"
	"stave/registry/memory"
)

// mountable is a repository that takes blobs over from others, and notes from which.
type mountable struct {
	*memory.Memory
	name  string
	mutex sync.Mutex
	from  map[string]int
}

// Mount takes a blob over.
func (m *mountable) Mount(ctx context.Context, d ocispec.Descriptor, from registry.Store) (bool, error) {
	other, ok := from.(*mountable)
	if !ok {
		return false, nil
	}
	m.mutex.Lock()
	m.from[other.name]++
	m.mutex.Unlock()
	r, err := other.Fetch(ctx, d)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return true, m.Push(ctx, d, r)
}

// TestPushMounts pushes an image to a second repository of a registry, which takes the blobs over from the first, and to another registry,
// which can't.
func TestPushMounts(t *testing.T) {
	repos := map[string]*mountable{}
	s, err := images.Open(t.TempDir(), images.Options{Repository: func(named reference.Named) (registry.Store, error) {
		if repos[named.Name()] == nil {
			repos[named.Name()] = &mountable{Memory: memory.New(), name: named.Name(), from: map[string]int{}}
		}
		return repos[named.Name()], nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Images: s, t: t, repos: map[string]*memory.Memory{"docker.io/library/app": memory.New()}}
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest")
	repos["docker.io/library/app"] = &mountable{Memory: w.repos["docker.io/library/app"], name: "docker.io/library/app", from: map[string]int{}}
	w.pull("app")
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "another"}}}, "else") // which the store knows nothing of
	w.pull("app:else")
	for _, test := range []struct {
		name string
		want map[string]int
	}{
		{"registry.example/a:1", map[string]int{}},
		{"registry.example/b:1", map[string]int{"registry.example/a": 3}}, // configuration and two layers
		{"other.example/c:1", map[string]int{}},
	} {
		if err := w.Tag(t.Context(), w.find("app"), tagged(t, test.name)); err != nil {
			t.Fatal(err)
		}
		var states []images.State
		d, err := w.Push(t.Context(), tagged(t, test.name), images.PushOptions{Progress: func(p images.Progress) { states = append(states, p.State) }})
		if err != nil {
			t.Fatal(err)
		}
		repo := repos[tagged(t, test.name).Name()]
		if diff := cmp.Diff(test.want, repo.from); diff != "" {
			t.Errorf("%s: mounted from, -want +got:\n%s", test.name, diff)
		}
		if _, err := registry.FetchImage(t.Context(), repo, d); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if last := states[len(states)-1]; (last == images.Mounted) != (len(test.want) > 0) {
			t.Errorf("%s: the states are %v", test.name, states)
		}
	}
}

// slow is a repository that gives one blob only when it is told to.
type slow struct {
	*memory.Memory
	wait  ocispec.Descriptor
	asked chan struct{}
	give  chan struct{}
}

// Fetch waits with that blob.
func (s *slow) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if d.Digest == s.wait.Digest {
		close(s.asked)
		<-s.give
	}
	return s.Memory.Fetch(ctx, d)
}

// Lease is of nothing: the view that memory gives would not wait.
func (s *slow) Lease(context.Context) (registry.Store, func() error, error) {
	return s, func() error { return nil }, nil
}

// TestPruneBesidePull prunes while an image arrives of which one layer is unpacked and the other is still to come: nothing of it may go.
func TestPruneBesidePull(t *testing.T) {
	made := newWorld(t)
	d, _ := made.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest")
	m, err := registry.FetchManifest(t.Context(), made.repo("docker.io/library/app"), d)
	if err != nil {
		t.Fatal(err)
	}
	source := &slow{made.repo("docker.io/library/app"), m.Layers[1], make(chan struct{}), make(chan struct{})}
	w := &world{t: t, state: t.TempDir()}
	w.Images, err = images.Open(w.state, images.Options{Repository: func(reference.Named) (registry.Store, error) { return source, nil }})
	if err != nil {
		t.Fatal(err)
	}
	unpacked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := w.Pull(t.Context(), name(t, "app"), images.PullOptions{Progress: func(p images.Progress) {
			if p.State == images.Complete && p.Layer.Digest == m.Layers[0].Digest {
				close(unpacked)
			}
		}})
		done <- err
	}()
	for _, happened := range []chan struct{}{source.asked, unpacked} {
		select {
		case <-happened:
		case err := <-done:
			t.Fatalf("the pull has ended already: %v", err)
		}
	}
	if _, err := w.open().Prune(t.Context(), images.PruneOptions{All: true}); err != nil {
		t.Error(err)
	}
	if len(w.layers()) != 1 || len(w.files("layers/holders")) != 1 {
		t.Errorf("the prune has left the layers %q and the holders %q", w.layers(), w.files("layers/holders"))
	}
	close(source.give)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(w.layers()) != 2 || len(w.listed()) != 1 {
		t.Errorf("the pull ends with the layers %q and the images %q", w.layers(), w.listed())
	}
}
