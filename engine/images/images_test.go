// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/engine/images"
	"stave/registry"
	"stave/registry/memory"
)

// world is a state folder and the registries around it, in memory.
type world struct {
	*images.Images
	t     *testing.T
	state string
	users []images.User

	mutex sync.Mutex
	repos map[string]*memory.Memory // by full name
}

// newWorld makes an empty one.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, state: t.TempDir(), repos: map[string]*memory.Memory{}}
	w.Images = w.open()
	return w
}

// open opens the state folder, as another process would.
func (w *world) open() *images.Images {
	w.t.Helper()
	s, err := images.Open(w.state, images.Options{
		Repository: func(named reference.Named) (registry.Store, error) { return w.repo(named.Name()), nil },
		Users:      func(_ ctx) ([]images.User, error) { return w.users, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// repo is the repository of a full name.
func (w *world) repo(name string) *memory.Memory {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.repos[name] == nil {
		w.repos[name] = memory.New()
	}
	return w.repos[name]
}

// spec describes an image to be made in a registry: each layer is the files in it, by name.
type spec struct {
	layers  []map[string]string
	config  func(*images.Config)
	created time.Time
}

// layerOf packs files.
func layerOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg, ModTime: time.Unix(1_700_000_000, 0), Uid: os.Getuid(), Gid: os.Getgid()}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// put makes an image in a repository, with tags, and returns the descriptor of its manifest and its ID.
func (w *world) put(repository string, s spec, tags ...string) (ocispec.Descriptor, digest.Digest) {
	w.t.Helper()
	repo := w.repo(repository)
	c := images.Config{Image: ocispec.Image{Created: &s.created, Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}}
	if s.created.IsZero() {
		c.Created = new(time.Unix(1_700_000_000, 0).UTC())
	}
	if s.config != nil {
		s.config(&c)
	}
	var layers []ocispec.Descriptor
	for _, files := range s.layers {
		archive := layerOf(w.t, files)
		d, diffID, err := registry.PushLayer(w.t.Context(), repo, func(to io.Writer) error {
			_, err := to.Write(archive)
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		layers = append(layers, d)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, diffID)
	}
	data, err := json.Marshal(c)
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := registry.PushBytes(w.t.Context(), repo, ocispec.MediaTypeImageConfig, data)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := registry.PushManifest(w.t.Context(), repo, ocispec.Manifest{Config: config, Layers: layers})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, tag := range tags {
		if err := repo.Tag(w.t.Context(), d, tag); err != nil {
			w.t.Fatal(err)
		}
	}
	return d, config.Digest
}

// name reads a name.
func name(t *testing.T, word string) reference.Named {
	t.Helper()
	named, err := images.ParseName(word)
	if err != nil {
		t.Fatal(err)
	}
	return named
}

// tagged reads a name with a tag.
func tagged(t *testing.T, word string) reference.NamedTagged {
	t.Helper()
	named, err := images.Name(word)
	if err != nil {
		t.Fatal(err)
	}
	return named
}

// pull pulls an image.
func (w *world) pull(word string) images.Pulled {
	w.t.Helper()
	p, err := w.Pull(w.t.Context(), name(w.t, word), images.PullOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// find finds an image.
func (w *world) find(word string) *images.Image {
	w.t.Helper()
	image, err := w.Find(w.t.Context(), word)
	if err != nil {
		w.t.Fatal(err)
	}
	return image
}

// listed lists the images, a line each: names, digests' repositories, and the beginning of the ID.
func (w *world) listed() []string {
	w.t.Helper()
	list, err := w.List(w.t.Context(), images.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, image := range list {
		names := "<none>"
		if len(image.Names) > 0 {
			names = strings.Join(image.Names, " ")
		}
		lines = append(lines, fmt.Sprintf("%s %s", names, images.Short(image.ID)))
	}
	slices.Sort(lines)
	return lines
}

// files lists what is in a folder of the state, without what is temporary.
func (w *world) files(folder string) []string {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.state, folder))
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// layers lists the unpacked layers.
func (w *world) layers() []string {
	return slices.DeleteFunc(w.files("layers"), func(name string) bool { return name == "holders" })
}

// blobs lists the blobs.
func (w *world) blobs() []string { return w.files("images/blobs/sha256") }
