// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stave/unionfs"
	"stave/unionfs/layer"
)

// Suite is what the tests need to know of a driver.
type Suite struct {
	// Driver is the one under test.
	Driver unionfs.Driver
	// Layer is how layers are unpacked for it.
	Layer layer.Options
	// Folder makes a folder on the file system under test; the default is the test's temporary folder.
	Folder func(t *testing.T) string
	// PartsLinks says that a file of a layer with two names becomes two files when one is written to.
	PartsLinks bool
	// Coarse says that the driver does not keep the times of folders and symbolic links when it copies a file to the writable layer, and has
	// faults that random operations find and that are not ours to mend. In fuse-overlayfs 1.10, files of a layer come back in a folder
	// that was removed and made twice, and the name of a file that was renamed over a symbolic link stays.
	Coarse bool
	// NumbersNames says that a file that gets a second name right after it was copied to the writable layer shows two inode numbers until it
	// is mounted anew: so does overlay in a user namespace, where it can't open a file by its handle (name_to_handle_at(2)).
	NumbersNames bool
	// KeepsFolders says that a folder of a layer can't be renamed (EXDEV): mv(1) copies it.
	KeepsFolders bool
}

// Run runs all tests with the suite's driver.
func Run(t *testing.T, s Suite) {
	if s.Folder == nil {
		s.Folder = func(t *testing.T) string { return t.TempDir() }
	}
	tests := map[string]func(*testing.T, Suite){
		"operations": testOperations,
		"read-only":  testReadOnly,
		"again":      testAgain,
		"deep":       testDeep,
		"views":      testViews,
		"running":    testRunning,
		"remove":     testRemove,
		"killed":     testKilled,
		"supported":  testSupported,
	}
	if !s.Coarse {
		tests["random"] = testRandom
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// world is a store of layers and folders for containers.
type world struct {
	*testing.T
	Suite
	dir    string
	layers *unionfs.Layers
	count  *int // of containers
}

// newWorld makes an empty one.
func newWorld(t *testing.T, s Suite) *world {
	t.Helper()
	w := &world{T: t, Suite: s, dir: s.Folder(t), count: new(int)}
	var err error
	if w.layers, err = unionfs.OpenLayers(filepath.Join(w.dir, "layers"), unionfs.LayersOptions{Layer: s.Layer}); err != nil {
		t.Fatal(err)
	}
	return w
}

// in is the same world for another test.
func (w *world) in(t *testing.T) *world {
	other := *w
	other.T = t
	return &other
}

// container makes the folder of a new container on layers. It is removed with the test. It is volatile, or each unmount of an overlay would
// write all to the disk that anybody on the machine wrote before (sync(2)).
func (w *world) container(layers ...unionfs.Layer) unionfs.Stack {
	w.Helper()
	*w.count++
	s := unionfs.Stack{Layers: layers, Dir: filepath.Join(w.dir, "containers", strconv.Itoa(*w.count)), Volatile: true}
	if err := os.MkdirAll(s.Dir, 0o711); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := w.Driver.Remove(context.Background(), s); err != nil {
			w.Error(err)
		}
	})
	return s
}

// prepare prepares a stack.
func (w *world) prepare(s unionfs.Stack) unionfs.Root {
	w.Helper()
	root, err := w.Driver.Prepare(w.Context(), s)
	if err != nil {
		w.Fatal(err)
	}
	return root
}

// within shows a stack's root to a function, as its container sees it.
func (w *world) within(s unionfs.Stack, look func(root string)) {
	w.Helper()
	path, unmount := Mounted(w, w.prepare(s))
	defer unmount()
	look(path)
}

// viewed shows a stack's root to a function, from outside.
func (w *world) viewed(s unionfs.Stack, look func(root string)) {
	w.Helper()
	path, done, err := w.Driver.View(w.Context(), s)
	if err != nil {
		w.Fatal(err)
	}
	defer func() {
		if err := done(); err != nil {
			w.Error(err)
		}
	}()
	look(path)
}

// commit makes a layer of what a container wrote, on top of its layers, and returns all of them.
func (w *world) commit(s unionfs.Stack) []unionfs.Layer {
	w.Helper()
	var archive bytes.Buffer
	if err := w.Driver.Changes(w.Context(), s, &archive); err != nil {
		w.Fatal(err)
	}
	return append(s.Layers[:len(s.Layers):len(s.Layers)], w.unpack(s.Layers, archive.Bytes()))
}

// unpack adds a layer to those below.
func (w *world) unpack(below []unionfs.Layer, archive []byte) unionfs.Layer {
	w.Helper()
	diffIDs := make([]digest.Digest, 0, len(below)+1)
	for _, l := range below {
		diffIDs = append(diffIDs, l.DiffID)
	}
	diffIDs = append(diffIDs, digest.FromBytes(archive))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	l, err := w.layers.Unpack(w.Context(), unionfs.ChainIDs(diffIDs), diffIDs[len(below)], open)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// archive makes a layer archive of headers; a regular file's content is its name.
func (w *world) archive(headers ...tar.Header) []byte {
	w.Helper()
	var b bytes.Buffer
	archive := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Name
		if h.Typeflag != tar.TypeReg {
			content = ""
		}
		h.Size, h.ModTime, h.Format = int64(len(content)), longAgo().AddDate(-1, 0, 0), tar.FormatPAX
		if err := archive.WriteHeader(&h); err != nil {
			w.Fatal(err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			w.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		w.Fatal(err)
	}
	return b.Bytes()
}

// coarseTime is the time in the line of a folder or a symbolic link.
var coarseTime = regexp.MustCompile(`^((?:4|12)[0-7]{4} [0-9]+:[0-9]+), [^,]+`)

// sameAs tells in a line which name of a file came first.
var sameAs = regexp.MustCompile(`, same as [^,]*`)

// equal compares two trees.
func (w *world) equal(what string, want, got Snapshot) {
	w.Helper()
	if w.Coarse {
		for _, s := range []Snapshot{want, got} {
			for name, line := range s {
				s[name] = coarseTime.ReplaceAllString(line, "$1")
			}
		}
	}
	if w.NumbersNames {
		for _, s := range []Snapshot{want, got} {
			for name, line := range s {
				s[name] = sameAs.ReplaceAllString(line, "")
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// lists checks the names in a folder.
func (w *world) lists(dir string, want ...string) {
	w.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.Error(err)
	}
	got := []string{}
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		w.Errorf("%s (-want +got):\n%s", dir, diff)
	}
}
