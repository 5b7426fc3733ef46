// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
)

// TestManyLayers runs images with as many layers as docker makes at most (127), as overlay takes at most (500), and with one more.
// Each layer changes what the ones below have.
func TestManyLayers(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	for _, number := range []int{127, 500, 501} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			state, name := memory(t, "256m"), filepath.Join(t.TempDir(), "many.tar")
			want := stacked(t, name, number)
			must(t, stave(state, "load", "--quiet", "-i", name))
			got := run(t, stave(state, "run", "--name", "one", "many:1", "cat", "/last"))
			if number > 500 {
				if got.code != 125 || !strings.Contains(got.err, "501 layers, and the kernel joins at most 500") || !strings.Contains(got.err, "vfs") {
					t.Errorf("exit code %d, want 125, the number of layers and the driver vfs; it says: %s", got.code, got.err)
				}
				c := stave(state, "--storage-driver", "vfs", "run", "--name", "one", "many:1", "cat", "/last")
				got = run(t, c)
			}
			if got.code != 0 || got.out != fmt.Sprint(number) {
				t.Fatalf("exit code %d, %q, want %d; it says: %s", got.code, got.out, number, got.err)
			}
			if diff := cmp.Diff(want, exported(t, state, "one")); diff != "" {
				t.Errorf("the files differ (-want +got):\n%s", diff)
			}
		})
	}
}

// stacked writes an archive of the image many:1 with so many layers, and returns what its files are.
func stacked(t *testing.T, name string, number int) tree {
	t.Helper()
	layers := [][]byte{shell(t)}
	for i := 2; i <= number; i++ {
		l := newLayer()
		l.file(t, "last", fmt.Append(nil, i))
		l.folder(t, "layers")
		l.file(t, fmt.Sprintf("layers/%d", i), fmt.Append(nil, i))
		if i%3 == 0 {
			l.file(t, fmt.Sprintf("layers/.wh.%d", i-1), nil)
		}
		l.folder(t, fmt.Sprintf("folder%d", i%7))
		l.file(t, fmt.Sprintf("folder%d/%d", i%7, i), nil)
		if i%50 == 0 {
			l.file(t, fmt.Sprintf("folder%d/.wh..wh..opq", i%7), nil)
		}
		layers = append(layers, l.done(t))
	}
	want := tree{}
	for _, layer := range layers {
		one, err := treeOfTar(bytes.NewReader(layer))
		if err != nil {
			t.Fatal(err)
		}
		want.apply(one)
	}
	all := blobs{}
	all.archive(t, name, all.image(t, "many:1", layers...))
	return want
}

// exported is the root file system of a container, without the files that stave makes for each.
func exported(t *testing.T, state, container string) tree {
	t.Helper()
	name := filepath.Join(t.TempDir(), "root.tar")
	must(t, stave(state, "export", "-o", name, container))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, err := treeOfTar(f)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(found, func(path, _ string) bool {
		return path == "etc/hostname" || path == "etc/hosts" || path == "etc/resolv.conf"
	})
	return found
}
