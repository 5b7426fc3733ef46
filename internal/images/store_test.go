// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is a state folder that is looked at from outside.
type store struct {
	dir   string
	wrong []string                   // what was found wrong
	uses  map[digest.Digest]bool     // blobs that a name leads to
	chain map[string]digest.Digest   // unpacked layers of images with a name, by the name of their folder: their diff IDs
	ids   map[string][]digest.Digest // by the name of an image: its ID, which is the digest of its configuration, and its diff IDs
	known *layers
}

// layers are those that have been seen in any store: the diff ID of a packed one, and by diff ID what is in it.
type layers struct {
	diffIDs map[digest.Digest]digest.Digest
	trees   map[digest.Digest]tree
}

// newLayers knows none yet.
func newLayers() *layers {
	return &layers{map[digest.Digest]digest.Digest{}, map[digest.Digest]tree{}}
}

// look looks at a state folder, and finds what is inconsistent.
func (l *layers) look(dir string) *store {
	s := &store{dir: dir, uses: map[digest.Digest]bool{}, chain: map[string]digest.Digest{}, ids: map[string][]digest.Digest{}, known: l}
	if _, err := os.Stat(s.at("images/index.json")); os.IsNotExist(err) {
		return s // it had no time to make one
	}
	s.blobs()
	s.names()
	s.unpacked()
	return s
}

// at is a path below the state folder.
func (s *store) at(name string) string { return filepath.Join(s.dir, name) }

// say notes what is wrong, if anything is.
func (s *store) say(err error, format string, args ...any) bool {
	if err != nil {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...)+": "+err.Error())
	}
	return err != nil
}

// list lists the names in a folder. One that is not there is empty.
func (s *store) list(dir string) []string {
	entries, err := os.ReadDir(s.at(dir))
	if !os.IsNotExist(err) {
		s.say(err, "list %s", dir)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// blobs hashes all blobs.
func (s *store) blobs() {
	for _, name := range s.list("images/blobs/sha256") {
		f, err := os.Open(s.at("images/blobs/sha256/" + name))
		if s.say(err, "blob") {
			continue
		}
		got, err := digest.FromReader(f)
		f.Close()
		if err == nil && got.Encoded() != name {
			err = fmt.Errorf("it has the digest %s", got)
		}
		s.say(err, "blob %s", name)
	}
}

// read reads a document, which has to have the size that its descriptor names.
func (s *store) read(d ocispec.Descriptor, into any) error {
	s.uses[d.Digest] = true
	text, err := os.ReadFile(s.at("images/blobs/sha256/" + d.Digest.Encoded()))
	if err == nil && int64(len(text)) != d.Size {
		err = fmt.Errorf("it has %d bytes, not %d", len(text), d.Size)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	return err
}

// names follows all names.
func (s *store) names() {
	var index ocispec.Index
	text, err := os.ReadFile(s.at("images/index.json"))
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	s.say(err, "index.json")
	for _, d := range index.Manifests {
		name := d.Annotations[ocispec.AnnotationRefName]
		var m ocispec.Manifest
		var c ocispec.Image
		if s.say(s.read(d, &m), "manifest of %q", name) || s.say(s.read(m.Config, &c), "configuration of %q", name) {
			continue
		}
		s.ids[name] = append([]digest.Digest{m.Config.Digest}, c.RootFS.DiffIDs...)
		if len(m.Layers) != len(c.RootFS.DiffIDs) {
			s.say(fmt.Errorf("%d layers, %d diff IDs", len(m.Layers), len(c.RootFS.DiffIDs)), "image %q", name)
			continue
		}
		var chain digest.Digest
		for i, layer := range m.Layers {
			s.uses[layer.Digest] = true
			want := c.RootFS.DiffIDs[i]
			if chain == "" {
				chain = want
			} else {
				chain = digest.FromString(chain.String() + " " + want.String())
			}
			s.chain[chain.Encoded()] = want
			diffID, err := s.open(layer)
			if err == nil && diffID != want {
				err = fmt.Errorf("its diff ID is %s, not %s", diffID, want)
			}
			s.say(err, "layer %d of %q", i, name)
		}
	}
}

// open reads a packed layer, keeps what is in it, and returns its diff ID.
func (s *store) open(d ocispec.Descriptor) (digest.Digest, error) {
	f, err := os.Open(s.at("images/blobs/sha256/" + d.Digest.Encoded()))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if known := s.known.diffIDs[d.Digest]; known != "" {
		return known, nil // that the bytes are the same has been found before
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	digester := digest.Canonical.Digester()
	r := io.TeeReader(z, digester.Hash())
	found, err := treeOfTar(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return "", err
	}
	id := digester.Digest()
	s.known.diffIDs[d.Digest], s.known.trees[id] = id, found
	return id, nil
}

// unpacked holds the unpacked layers against what was packed. The folders of a layer that its archive has no entry for are like those
// below, so they are left out.
func (s *store) unpacked() {
	for _, name := range s.list("layers") {
		if strings.HasPrefix(name, ".") || name == "holders" {
			continue
		}
		var record struct{ ChainID, DiffID digest.Digest }
		text, err := os.ReadFile(s.at("layers/" + name + "/layer.json"))
		if err == nil {
			err = json.Unmarshal(text, &record)
		}
		if err == nil && record.ChainID.Encoded() != name {
			err = fmt.Errorf("it says that it is %s", record.ChainID)
		}
		if want := s.chain[name]; err == nil && want != "" && record.DiffID != want {
			err = fmt.Errorf("its diff ID is %s, not %s", record.DiffID, want)
		}
		want, known := s.known.trees[record.DiffID]
		if err == nil && !known {
			err = fmt.Errorf("nobody has ever seen the archive %s", record.DiffID)
		}
		if s.say(err, "layer %s", name) {
			continue
		}
		got, err := treeOfFolder(s.at("layers/" + name + "/fs"))
		maps.DeleteFunc(got, func(path, words string) bool { return want[path] == "" && strings.HasPrefix(words, "folder ") })
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			err = fmt.Errorf("its files differ (-want +got):\n%s", diff)
		}
		s.say(err, "layer %s", name)
	}
}

// has says what is wrong unless an image has all its layers unpacked.
func (s *store) has(name string) {
	if s.ids[name] == nil {
		s.say(fmt.Errorf("there are %q", slices.Sorted(maps.Keys(s.ids))), "there is no image %q", name)
		return
	}
	var chain digest.Digest
	for _, id := range s.ids[name][1:] {
		if chain == "" {
			chain = id
		} else {
			chain = digest.FromString(chain.String() + " " + id.String())
		}
		_, err := os.Stat(s.at("layers/" + chain.Encoded()))
		s.say(err, "an unpacked layer of %q", name)
	}
}

// tidy says what is wrong if there is anything that a command leaves only when it is killed.
func (s *store) tidy() {
	for _, dir := range []string{"images/ingest", "images/leases"} {
		if left := s.list(dir); len(left) > 0 {
			s.say(fmt.Errorf("%q", left), "left in %s", dir)
		}
	}
	known := map[string][]string{
		".":      {"containers", "driver", "images", "images.busy", "images.lock", "layers", "run"},
		"images": {"blobs", "index.json", "ingest", "leases", "lock", "oci-layout"},
	}
	for _, dir := range slices.Sorted(maps.Keys(known)) {
		for _, name := range s.list(dir) {
			if !slices.Contains(known[dir], name) {
				s.say(os.ErrExist, "left: %s/%s", dir, name)
			}
		}
	}
	for _, name := range s.list("layers") {
		if strings.HasPrefix(name, ".") {
			s.say(os.ErrExist, "left: layers/%s", name)
		}
	}
	for _, name := range s.list("containers") {
		if _, err := os.Stat(s.at("containers/" + name + "/container.json")); err != nil {
			s.say(err, "left: containers/%s", name)
		}
	}
}

// exact says what is wrong if there are blobs, unpacked layers or holders that no image with a name needs.
func (s *store) exact() {
	holders := map[string]bool{}
	for _, ids := range s.ids {
		holders["image-"+ids[0].Encoded()] = true
	}
	for _, name := range s.list("images/blobs/sha256") {
		if !s.uses[digest.NewDigestFromEncoded(digest.SHA256, name)] {
			s.say(os.ErrExist, "left: blob %s", name)
		}
	}
	for _, name := range s.list("layers") {
		if s.chain[name] == "" && name != "holders" {
			s.say(os.ErrExist, "left: layer %s", name)
		}
	}
	for _, name := range s.list("layers/holders") {
		if !holders[name] && !strings.HasPrefix(name, "container-") {
			s.say(os.ErrExist, "left: holder %s", name)
		}
	}
}

// fail fails the test with all that was found wrong.
func (s *store) fail(t testing.TB, when string) {
	t.Helper()
	if len(s.wrong) > 0 {
		t.Errorf("%s:\n\t%s", when, strings.Join(s.wrong, "\n\t"))
	}
}
