// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
)

// repositories are those of a test, in memory, by name.
type repositories struct {
	mutex sync.Mutex
	all   map[string]*memory.Memory
}

// get is the repository of a name.
func (r *repositories) get(named reference.Named) (registry.Store, error) {
	return r.repo(named.Name()), nil
}

// repo is the repository of a full name.
func (r *repositories) repo(name string) *memory.Memory {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.all[name] == nil {
		r.all[name] = memory.New()
	}
	return r.all[name]
}

// put makes an image for an architecture.
func (r *repositories) put(t *testing.T, repository, tag, architecture, mediaType string) digest.Digest {
	t.Helper()
	repo := r.repo(repository)
	layer, err := registry.PushBytes(t.Context(), repo, ocispec.MediaTypeImageLayer, []byte(tag))
	if err != nil {
		t.Fatal(err)
	}
	configType := ocispec.MediaTypeImageConfig
	if mediaType == registry.MediaTypeDockerManifest {
		configType = registry.MediaTypeDockerConfig
	}
	data, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: architecture}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := registry.PushBytes(t.Context(), repo, configType, data)
	if err != nil {
		t.Fatal(err)
	}
	d, err := registry.PushManifest(t.Context(), repo, ocispec.Manifest{MediaType: mediaType, Config: config, Layers: []ocispec.Descriptor{layer}})
	if err == nil {
		err = repo.Tag(t.Context(), d, tag)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

// names reads names.
func names(t *testing.T, words ...string) (list []reference.Named) {
	t.Helper()
	for _, word := range words {
		named, err := registry.ParseReference(word)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, named)
	}
	return list
}

// TestCreateAndPush makes lists of Docker's and of OCI's manifests, and pushes them to another repository.
func TestCreateAndPush(t *testing.T) {
	for mediaType, want := range map[string]string{
		registry.MediaTypeDockerManifest: registry.MediaTypeDockerIndex, ocispec.MediaTypeImageManifest: ocispec.MediaTypeImageIndex,
	} {
		t.Run(want, func(t *testing.T) {
			r := &repositories{all: map[string]*memory.Memory{}}
			amd := r.put(t, "registry.example/app", "amd64", "amd64", mediaType)
			arm := r.put(t, "registry.example/app", "arm", "arm", mediaType)
			lists := Open(t.TempDir(), r.get)
			list := names(t, "registry.example/many:1")[0]
			if err := lists.Create(t.Context(), list, names(t, "registry.example/app:amd64"), false); err != nil {
				t.Fatal(err)
			}
			if err := lists.Create(t.Context(), list, names(t, "registry.example/app:arm"), false); err == nil {
				t.Error("a list that is there was made anew")
			}
			if err := lists.Create(t.Context(), list, names(t, "registry.example/app@"+arm.String(), "registry.example/app:amd64"), true); err != nil {
				t.Fatal(err)
			}
			err := lists.Change(list, func(l *List) (*List, error) {
				e, err := l.Find("registry.example/app@" + arm.String())
				if err != nil {
					return nil, err
				}
				return l, e.Annotate(Annotation{Variant: "v7", OSFeatures: []string{"a", "a"}})
			})
			if err != nil {
				t.Fatal(err)
			}
			id, err := lists.Push(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			d, data, err := lists.Fetch(t.Context(), list)
			if err != nil || d.Digest != id || d.MediaType != want {
				t.Fatalf("the registry has %+v, %v", d, err)
			}
			index, err := registry.DecodeIndex(d, data)
			if err != nil {
				t.Fatal(err)
			}
			type entry struct {
				Digest   digest.Digest
				Platform ocispec.Platform
			}
			var got []entry
			for _, m := range index.Manifests {
				got = append(got, entry{m.Digest, *m.Platform})
				if _, err := registry.FetchImage(t.Context(), r.repo("registry.example/many"), m); err != nil {
					t.Errorf("the image did not come along: %v", err)
				}
			}
			expect := []entry{{amd, ocispec.Platform{OS: "linux", Architecture: "amd64"}}, {arm, ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7", OSFeatures: []string{"a"}}}}
			if diff := cmp.Diff(expect, got); diff != "" {
				t.Errorf("manifests -want +got:\n%s", diff)
			}
			newer := r.put(t, "registry.example/app", "amd64", "riscv64", mediaType)
			if err := lists.Create(t.Context(), list, names(t, "registry.example/app:amd64"), true); err != nil {
				t.Fatal(err)
			}
			if l, err := lists.Get(list); err != nil || len(l.Entries) != 2 || l.Entries[0].Descriptor.Digest != newer {
				t.Errorf("a tag that has moved: the list is %+v, %v", l, err)
			}
			if err := lists.Create(t.Context(), names(t, "registry.example/nested")[0], []reference.Named{list}, false); err == nil {
				t.Error("a list was taken into a list")
			}
			if err := lists.Remove(list); err != nil {
				t.Error(err)
			}
			if _, err := lists.Get(list); !errors.Is(err, ErrNotFound) || lists.Remove(list) == nil {
				t.Errorf("a list that was removed: %v", err)
			}
		})
	}
}

// TestCreateMissing leaves nothing of a list whose manifests are not there.
func TestCreateMissing(t *testing.T) {
	r := &repositories{all: map[string]*memory.Memory{}}
	lists := Open(t.TempDir(), r.get)
	list := names(t, "registry.example/many")[0]
	if err := lists.Create(t.Context(), list, names(t, "registry.example/missing"), false); !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	if _, err := lists.Get(list); !errors.Is(err, ErrNotFound) {
		t.Errorf("the list is there: %v", err)
	}
}

// TestChangeAtOnce adds to one list from several goroutines, each with a store of its own as commands have.
func TestChangeAtOnce(t *testing.T) {
	dir, list := t.TempDir(), names(t, "registry.example/many")[0]
	var group sync.WaitGroup
	const number = 20
	for i := range number {
		group.Go(func() {
			err := Open(dir, nil).Change(list, func(l *List) (*List, error) {
				if l == nil {
					l = &List{Name: list.String()}
				}
				l.add(Entry{From: string(rune('a' + i)), Descriptor: ocispec.Descriptor{Digest: digest.FromString(string(rune('a' + i)))}})
				return l, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	l, err := Open(dir, nil).Get(list)
	if err != nil || len(l.Entries) != number {
		t.Errorf("%d entries, %v; want %d", len(l.Entries), err, number)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "manifests", ".*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

// TestAnnotate changes what is set and nothing else.
func TestAnnotate(t *testing.T) {
	e := Entry{Descriptor: ocispec.Descriptor{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm"}}}
	if err := e.Annotate(Annotation{Variant: "v6", OSVersion: "1"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6", OSVersion: "1"}, e.Descriptor.Platform); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := new(Entry).Annotate(Annotation{Variant: "v6"}); err == nil {
		t.Error("a platform without an architecture was taken")
	}
}

// TestPrivate changes a list in a folder that was open to all.
func TestPrivate(t *testing.T) {
	state := t.TempDir()
	if err := os.Mkdir(filepath.Join(state, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	named, err := reference.ParseNormalizedNamed("app:latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := Open(state, nil).Change(named, func(*List) (*List, error) { return &List{Name: named.String()}, nil }); err != nil {
		t.Fatal(err)
	}
	if stat, err := os.Stat(filepath.Join(state, "manifests")); err != nil || stat.Mode().Perm() != 0o700 {
		t.Errorf("the folder has the mode %v, %v", stat.Mode(), err)
	}
}

// TestGetBroken says which file is broken.
func TestGetBroken(t *testing.T) {
	lists := Open(t.TempDir(), nil)
	list := names(t, "registry.example/many")[0]
	if err := errors.Join(os.MkdirAll(lists.dir, 0o700), os.WriteFile(lists.file(list), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := lists.Get(list); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// FuzzDecode looks for files that crash what reads them.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"docker.io/library/a:1","entries":[{"from":"docker.io/library/b:1","descriptor":{"mediaType":"x","digest":"` + digest.FromString("x").String() + `","size":1}}]}`))
	f.Add([]byte(`{"entries":[{"descriptor":{"digest":"../.."}}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decode(data)
		if err != nil {
			return
		}
		index := l.Index()
		if len(index.Manifests) != len(l.Entries) {
			t.Error("entries are lost")
		}
		for _, e := range l.Entries {
			if _, err := l.Find(e.Descriptor.Digest.String()); err != nil {
				t.Error(err)
			}
		}
	})
}
