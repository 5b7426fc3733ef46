// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"stave/internal/witness"
	"stave/unionfs"
	"stave/unionfs/drivertest"
	"stave/unionfs/layer"
)

// manyLayers makes layers with one file of their own each, and one that is in all.
func manyLayers(t *testing.T, dir string, n int) []unionfs.Layer {
	t.Helper()
	var layers []unionfs.Layer
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint("layer", i))
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"same", fmt.Sprint("own", i)} {
			if err := os.WriteFile(filepath.Join(path, name), fmt.Append(nil, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		layers = append(layers, unionfs.Layer{Path: path})
	}
	return layers
}

// TestManyLayers mounts more layers than fit into a page of options, also where paths are long or have characters that overlay
// gives a meaning.
func TestManyLayers(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	for name, c := range map[string]struct {
		count int
		dir   string
	}{
		"none":       {count: 0},
		"one":        {count: 1},
		"127":        {count: 127},
		"500":        {count: 500},
		"characters": {count: 3, dir: `a,b:c\d`},
		"long":       {count: 127, dir: string(make250())},
		"500 long":   {count: 500, dir: string(make250())},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), c.dir)
			s := unionfs.Stack{Dir: filepath.Join(dir, "container")}
			if err := os.MkdirAll(s.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s.Layers = manyLayers(t, dir, c.count)
			for _, s.ReadOnly = range []bool{false, true} {
				checkMany(t, s)
			}
		})
	}
}

// make250 is a name as long as file systems have it.
func make250() []byte {
	name := make([]byte, 250)
	for i := range name {
		name[i] = 'x'
	}
	return name
}

// checkMany looks at the layers from outside and inside.
func checkMany(t *testing.T, s unionfs.Stack) {
	t.Helper()
	driver := unionfs.Overlay{}
	root, err := driver.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	view, done, err := driver.View(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	mounted, unmount := drivertest.Mounted(t, root)
	for _, path := range []string{view, mounted} {
		for i := range s.Layers {
			if got, err := os.ReadFile(filepath.Join(path, fmt.Sprint("own", i))); string(got) != fmt.Sprint(i) {
				t.Fatalf("own%d is %q, %v", i, got, err)
			}
		}
		if got, err := os.ReadFile(filepath.Join(path, "same")); len(s.Layers) > 0 && string(got) != fmt.Sprint(len(s.Layers)-1) {
			t.Errorf("the file of all layers is %q, %v", got, err)
		}
		if err := os.WriteFile(filepath.Join(path, "new"), nil, 0o644); (err != nil) != s.ReadOnly {
			t.Errorf("write: %v", err)
		}
	}
	unmount()
	if err := done(); err != nil {
		t.Error(err)
	}
}

// TestOverlay runs the suite that all drivers run.
func TestOverlay(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	drivertest.Run(t, drivertest.Suite{Driver: unionfs.Overlay{}, PartsLinks: true, KeepsFolders: true})
}

// TestMetacopy runs it with files of which only the attributes are copied up; in folders whose names overlay would misunderstand, so that
// all is mounted by mount(2), as it is by older kernels.
func TestMetacopy(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	folder := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "a,b:c")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	drivertest.Run(t, drivertest.Suite{Driver: unionfs.Overlay{Metacopy: true}, Folder: folder, PartsLinks: true})
}

// TestRootless runs the suite as an ordinary user, in a user namespace of his own, with layers that he unpacked.
func TestRootless(t *testing.T) {
	if drivertest.Rootless(t, func() { witness.Need(t, "root", "userns", "filesystem:overlay", "command:setpriv") }) {
		own := layer.Options{UserXattr: true, SkipOwners: true, SkipDevices: true}
		drivertest.Run(t, drivertest.Suite{Driver: unionfs.Overlay{UserXattr: true}, Layer: own, PartsLinks: true, KeepsFolders: true, NumbersNames: true})
	}
}
