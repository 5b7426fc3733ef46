// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stave/internal/witness"
	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// program runs another program and returns what it prints.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_RUNTIME_DIR="+t.TempDir())
	output, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, output)
	}
	return string(output)
}

// sampleName is the name of the image that others are given.
const sampleName = "docker.io/library/sample:latest"

// shortFolder is a temporary folder whose path is short and in lower case: podman wants the one, buildah the other.
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "stave-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// sharedLayout is a layout with an image of two layers.
func sharedLayout(t *testing.T) *layout.Layout {
	t.Helper()
	l := open(t, filepath.Join(shortFolder(t), "images"))
	d := storetest.Files(t, l, map[string]string{"etc/name": "sample\n", "gone": "x"}, map[string]string{".wh.gone": "", "etc/more": "more\n"})
	if err := l.Tag(t.Context(), d, sampleName); err != nil {
		t.Fatal(err)
	}
	return l
}

// wholeAfter sees that all names resolve to whole images after a collection, and that names are there.
func wholeAfter(t *testing.T, l *layout.Layout, names ...string) {
	t.Helper()
	if _, err := l.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkWhole(t, l)
	var got []string
	for name, err := range l.Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	for _, name := range names {
		if !slices.Contains(got, name) {
			t.Errorf("%q is not in %q", name, got)
		}
	}
}

// TestSkopeo copies with skopeo from our folder to another of its own, and from there into ours.
func TestSkopeo(t *testing.T) {
	witness.Need(t, "root", "command:skopeo")
	l := sharedLayout(t)
	theirs := filepath.Join(t.TempDir(), "theirs")
	program(t, "skopeo", "copy", "--insecure-policy", "oci:"+l.Dir()+":"+sampleName, "oci:"+theirs+":theirs")
	want, err := l.Resolve(t.Context(), sampleName)
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(t, theirs).Resolve(t.Context(), "theirs")
	if err != nil || got.Digest != want.Digest {
		t.Errorf("skopeo has %s, %v; want %s", got.Digest, err, want.Digest)
	}
	second := storetest.Files(t, open(t, theirs), map[string]string{"second": "2"})
	if err := open(t, theirs).Tag(t.Context(), second, "second"); err != nil {
		t.Fatal(err)
	}
	program(t, "skopeo", "copy", "--insecure-policy", "oci:"+theirs+":second", "oci:"+l.Dir()+":foreign")
	program(t, "skopeo", "copy", "--insecure-policy", "oci:"+theirs+":theirs", "oci:"+l.Dir()) // without a name
	if d, err := l.Resolve(t.Context(), "foreign"); err != nil || d.Digest != second.Digest {
		t.Errorf("foreign is %s, %v; want %s", d.Digest, err, second.Digest)
	}
	if err := l.Tag(t.Context(), second, "docker.io/library/second:latest"); err != nil {
		t.Fatal(err)
	}
	wholeAfter(t, l, sampleName, "foreign", "docker.io/library/second:latest")
	program(t, "skopeo", "inspect", "oci:"+l.Dir()+":foreign")
	// The same through ours: what skopeo wrote is copied from.
	other := open(t, t.TempDir())
	if _, err := registry.Copy(t.Context(), other, "x", open(t, theirs), "theirs", registry.CopyOptions{}); err != nil {
		t.Error(err)
	}
}

// TestUmoci lists, unpacks and changes images of our folder with umoci, whose own collection leaves our files alone.
func TestUmoci(t *testing.T) {
	witness.Need(t, "root", "command:umoci")
	l := sharedLayout(t)
	d, err := l.Resolve(t.Context(), sampleName)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Tag(t.Context(), d, "plain"); err != nil { // umoci takes what is before the last colon for the folder
		t.Fatal(err)
	}
	if got := program(t, "umoci", "ls", "--layout", l.Dir()); !strings.Contains(got, sampleName+"\n") {
		t.Errorf("umoci ls: %q lacks %s", got, sampleName)
	}
	bundle := filepath.Join(t.TempDir(), "bundle")
	program(t, "umoci", "unpack", "--image", l.Dir()+":plain", bundle)
	if text, err := os.ReadFile(filepath.Join(bundle, "rootfs/etc/more")); err != nil || string(text) != "more\n" {
		t.Errorf("unpacked: %q, %v", text, err)
	}
	if _, err := os.Lstat(filepath.Join(bundle, "rootfs/gone")); !os.IsNotExist(err) {
		t.Errorf("unpacked what a layer deletes: %v", err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "rootfs/new"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	program(t, "umoci", "repack", "--image", l.Dir()+":changed", bundle)
	_, release, err := l.Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program(t, "umoci", "gc", "--layout", l.Dir())
	if err := release(); err != nil {
		t.Errorf("release the lease: %v", err)
	}
	changed, err := l.Resolve(t.Context(), "changed")
	if err != nil {
		t.Fatal(err)
	}
	image, err := registry.FetchImage(t.Context(), l, changed)
	if err != nil || len(image.Manifest.Layers) != 3 {
		t.Errorf("umoci made %d layers, %v; want 3", len(image.Manifest.Layers), err)
	}
	wholeAfter(t, l, sampleName, "plain", "changed")
}

// TestPodman pulls from our folder with podman and buildah, and pushes into it.
func TestPodman(t *testing.T) {
	for _, tool := range []string{"podman", "buildah"} {
		t.Run(tool, func(t *testing.T) {
			witness.Need(t, "root", "command:"+tool)
			l := sharedLayout(t)
			state := shortFolder(t)
			in := []string{"--root", filepath.Join(state, "root"), "--runroot", filepath.Join(state, "r"), "--storage-driver", "vfs"}
			with := func(args ...string) string { return program(t, tool, append(in, args...)...) }
			id := strings.TrimSpace(lastLine(with("pull", "oci:"+l.Dir()+":"+sampleName)))
			d, err := l.Resolve(t.Context(), sampleName)
			if err != nil {
				t.Fatal(err)
			}
			image, err := registry.FetchImage(t.Context(), l, d)
			if err != nil || image.Manifest.Config.Digest.Encoded() != id {
				t.Errorf("%s has the image ID %s, ours is %s, %v", tool, id, image.Manifest.Config.Digest, err)
			}
			with("push", id, "oci:"+l.Dir()+":pushed")
			pushed, err := l.Resolve(t.Context(), "pushed")
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := registry.FetchImage(t.Context(), l, pushed)
			if err != nil || !slices.Equal(theirs.Config.RootFS.DiffIDs, image.Config.RootFS.DiffIDs) {
				t.Errorf("%s pushed the diff IDs %v, %v; want %v", tool, theirs.Config.RootFS.DiffIDs, err, image.Config.RootFS.DiffIDs)
			}
			wholeAfter(t, l, sampleName, "pushed")
		})
	}
}

// lastLine is the last line of what a program printed.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
