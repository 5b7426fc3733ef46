// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/engine/images"
)

// TestOpenIsPrivate opens the images of a new state folder, and of one whose folder was open to all: nobody else gets to blobs and locks.
func TestOpenIsPrivate(t *testing.T) {
	w := newWorld(t)
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}}}, "latest")
	w.pull("app")
	modes := func() map[string]os.FileMode {
		got := map[string]os.FileMode{}
		for _, name := range []string{"images", "images.lock", "images.busy"} {
			stat, err := os.Stat(filepath.Join(w.state, name))
			if err != nil {
				t.Fatal(err)
			}
			got[name] = stat.Mode().Perm()
		}
		return got
	}
	want := map[string]os.FileMode{"images": 0o700, "images.lock": 0o600, "images.busy": 0o600}
	if diff := cmp.Diff(want, modes()); diff != "" {
		t.Errorf("new, -want +got:\n%s", diff)
	}
	if err := os.Chmod(filepath.Join(w.state, "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.open()
	if diff := cmp.Diff(want, modes()); diff != "" {
		t.Errorf("opened again, -want +got:\n%s", diff)
	}
}

// TestKeep removes an image while somebody is about to use its layers: they stay until he has let go of them, and then they go.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest")
	w.pull("app")
	layers, release, err := w.open().Keep(t.Context(), w.find("app"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Remove(t.Context(), "app", false); err != nil {
		t.Error(err)
	}
	for _, layer := range layers {
		if _, err := os.Stat(layer.Path); err != nil {
			t.Errorf("a layer that is kept: %v", err)
		}
	}
	release()
	if _, err := w.Prune(t.Context(), images.PruneOptions{}); err != nil || len(w.layers()) > 0 {
		t.Errorf("released, and pruned (%v), there are the layers %q", err, w.layers())
	}
}

// TestCommitKeepsBase removes the base by force while a commit on it is under way: the image has all its layers, packed and unpacked.
func TestCommitKeepsBase(t *testing.T) {
	w := newWorld(t)
	_, id := w.put("docker.io/library/base", spec{layers: []map[string]string{{"a": "one"}, {"b": "two"}}}, "latest")
	w.pull("base")
	_, err := w.Commit(t.Context(), images.Changed{Image: id, Changes: func(_ context.Context, to io.Writer) error {
		if _, err := w.open().Remove(t.Context(), "base", true); err != nil {
			t.Error(err)
		}
		_, err := to.Write(layerOf(t, map[string]string{"c": "three"}))
		return err
	}}, images.CommitOptions{Name: tagged(t, "made")})
	if err != nil {
		t.Fatal(err)
	}
	image := w.find("made")
	if layers, err := w.Unpack(t.Context(), image); err != nil || len(layers) != 3 {
		t.Errorf("the image has %d layers, %v", len(layers), err)
	}
	for _, layer := range image.Layers {
		if _, err := os.Stat(filepath.Join(w.state, "images/blobs/sha256", layer.Digest.Encoded())); err != nil {
			t.Errorf("a blob of the image that was made: %v", err)
		}
	}
}

// TestInspectSaysWhatIsKnown inspects an image: nothing is said of a driver, or of the time of its last name, since nobody knows them.
func TestInspectSaysWhatIsKnown(t *testing.T) {
	w := newWorld(t)
	w.put("docker.io/library/app", spec{layers: []map[string]string{{"a": "one"}}}, "latest")
	w.pull("app")
	image := w.find("app")
	var got struct{ GraphDriver, Metadata map[string]any }
	if err := json.Unmarshal(encode(t, w.Inspect(image)), &got); err != nil {
		t.Fatal(err)
	}
	upper := filepath.Join(w.state, "layers", image.Chain()[0].Encoded(), "fs")
	if diff := cmp.Diff(map[string]any{"Data": map[string]any{"UpperDir": upper}}, got.GraphDriver); diff != "" || got.Metadata != nil {
		t.Errorf("metadata %v; the driver, -want +got:\n%s", got.Metadata, diff)
	}
}
