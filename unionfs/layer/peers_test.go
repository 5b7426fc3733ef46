// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// run runs a program in the temporary folder and returns what it prints.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = os.TempDir()
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, problems.String())
	}
	return string(output)
}

// gnuTar packs a folder with GNU tar.
func gnuTar(t testing.TB, dir string, options ...string) []byte {
	t.Helper()
	witness.Need(t, "command:tar")
	return []byte(run(t, "tar", append(append([]string{"-c", "-C", dir}, options...), ".")...))
}

// scratch makes a folder in the temporary one whose name all tools take as a part of an image's name.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// layout makes an OCI image layout with an image named x of layer archives.
func layout(t testing.TB, compression Compression, archives ...[]byte) string {
	t.Helper()
	dir := scratch(t)
	blobs := filepath.Join(dir, "blobs/sha256")
	must(t, os.MkdirAll(blobs, 0o755))
	add := func(mediaType string, data []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		must(t, os.WriteFile(filepath.Join(blobs, d.Digest.Encoded()), data, 0o644))
		return d
	}
	inJSON := func(v any) []byte {
		data, err := json.Marshal(v)
		must(t, err)
		return data
	}
	config := ocispec.Image{Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, data := range archives {
		var packed bytes.Buffer
		c, err := Compress(&packed, compression, 0)
		must(t, err)
		_, err = c.Write(data)
		must(t, err)
		must(t, c.Close())
		kind := map[Compression]string{None: ocispec.MediaTypeImageLayer, Gzip: ocispec.MediaTypeImageLayerGzip, Zstd: ocispec.MediaTypeImageLayerZstd}[compression]
		d := add(kind, packed.Bytes())
		if d.Digest != c.Digest() || d.Size != c.Size() {
			t.Errorf("the compressor wrote %s with %d bytes, it says %s with %d", d.Digest, d.Size, c.Digest(), c.Size())
		}
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, c.DiffID())
	}
	manifest.Config = add(ocispec.MediaTypeImageConfig, inJSON(config))
	d := add(ocispec.MediaTypeImageManifest, inJSON(manifest))
	d.Annotations = map[string]string{ocispec.AnnotationRefName: "x"}
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), inJSON(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{d}}), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return dir
}

// unpackLayout unpacks the layers of a layout's image by its name, and returns their folders, the topmost first.
func unpackLayout(t testing.TB, dir, name string) []string {
	t.Helper()
	read := func(file string, v any) {
		data, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		must(t, json.Unmarshal(data, v))
	}
	blob := func(d ocispec.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }
	var index ocispec.Index
	read("index.json", &index)
	var manifest ocispec.Manifest
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == name {
			read(blob(d), &manifest)
		}
	}
	var config ocispec.Image
	read(blob(manifest.Config), &config)
	var folders []string
	for i, d := range manifest.Layers {
		f, err := os.Open(filepath.Join(dir, blob(d)))
		must(t, err)
		defer f.Close()
		r, err := Decompress(f)
		must(t, err)
		defer r.Close()
		folder := t.TempDir()
		result, err := Unpack(t.Context(), folder, r, Options{})
		must(t, err)
		if result.DiffID != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d has diff ID %s, its writer says %s", i, result.DiffID, config.RootFS.DiffIDs[i])
		}
		folders = append([]string{folder}, folders...)
	}
	return folders
}

// portable is a tree with everything that other tools keep.
func portable(t testing.TB) string {
	t.Helper()
	dir := everything(t)
	must(t, unix.Lremovexattr(filepath.Join(dir, "sub/caps"), "user.a=b%3D")) // there is no common form for the name
	must(t, unix.Lremovexattr(filepath.Join(dir, "sub/caps"), "user.empty"))  // PAX takes an empty record for none
	must(t, unix.Lremovexattr(filepath.Join(dir, "acls/in"), aclPrefix+"access"))
	must(t, unix.Lremovexattr(filepath.Join(dir, "acls"), aclPrefix+"default"))
	return dir
}

// xattrOption makes GNU tar keep extended attributes of all name spaces.
const xattrOption = "--xattrs-include=*"

// TestGNUTar lets GNU tar unpack what we packed, and pack what we unpack.
func TestGNUTar(t *testing.T) {
	witness.Need(t, "root", "command:tar")
	dir := portable(t)
	want := manifest(t, dir)
	file := filepath.Join(t.TempDir(), "layer.tar")
	must(t, os.WriteFile(file, pack(t, dir, Options{}), 0o644))
	theirs := t.TempDir()
	run(t, "tar", "-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", xattrOption, "-C", theirs, "-f", file)
	if diff := cmp.Diff(want, manifest(t, theirs)); diff != "" {
		t.Errorf("unpacked by tar: %s", diff)
	}
	must(t, os.Remove(filepath.Join(dir, "char again"))) // to tar another name of a device is another device
	want = manifest(t, dir)
	ours, _ := unpack(t, gnuTar(t, dir, "--format=posix", "--xattrs", xattrOption), Options{})
	if diff := cmp.Diff(want, manifest(t, ours)); diff != "" {
		t.Errorf("packed by tar: %s", diff)
	}
}

// twoLayers makes a tree, changes it in all ways, and returns both layers with the tree that they make.
func twoLayers(t *testing.T) (archives [][]byte, want map[string]string) {
	t.Helper()
	base := portable(t)
	for _, name := range []string{"changed", "deleted/too", "becomes dir", "was dir/f", "chmod", "gets xattr", "opaque/old"} {
		write(t, filepath.Join(base, name), "old")
	}
	low := pack(t, base, Options{})
	lower, _ := unpack(t, low, Options{})
	upper := t.TempDir()
	merged := layers(t, "", upper, lower)
	changeAll(t, merged)
	return [][]byte{low, pack(t, upper, Options{})}, manifest(t, merged)
}

// changeAll changes the tree of twoLayers.
func changeAll(t testing.TB, root string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, name := range []string{"deleted", "becomes dir", "was dir", "opaque"} {
		must(t, os.RemoveAll(at(name)))
	}
	for _, name := range []string{"changed", "added/new", "becomes dir/f", "was dir", "opaque/new"} {
		write(t, at(name), "new")
	}
	must(t, os.Link(at("added/new"), at("added/linked")))
	must(t, os.Link(at("chmod"), at("link to old")))
	must(t, os.Chmod(at("chmod"), 0o4711))
	must(t, unix.Lsetxattr(at("gets xattr"), "user.new", []byte("value"), 0))
}

// TestUmoci lets umoci unpack our layers, and repack a changed tree for us.
func TestUmoci(t *testing.T) {
	witness.Need(t, "root", "command:umoci", "filesystem:overlay")
	archives, want := twoLayers(t)
	image := layout(t, Gzip, archives...)
	bundle := filepath.Join(scratch(t), "bundle")
	run(t, "umoci", "unpack", "--image", image+":x", bundle)
	if diff := cmp.Diff(want, manifest(t, bundle+"/rootfs")); diff != "" {
		t.Errorf("unpacked by umoci: %s", diff)
	}
	changer := filepath.Join(bundle, "rootfs")
	must(t, os.RemoveAll(filepath.Join(changer, "sub/deeper")))
	write(t, filepath.Join(changer, "sub/deeper"), "now a file")
	must(t, os.Remove(filepath.Join(changer, "changed")))
	write(t, filepath.Join(changer, "new/one"), "new")
	run(t, "umoci", "repack", "--image", image+":y", bundle)
	folders := unpackLayout(t, image, "y")
	if len(folders) != 3 {
		t.Fatalf("%d layers", len(folders))
	}
	if diff := cmp.Diff(withoutTimes(manifest(t, changer)), withoutTimes(manifest(t, layers(t, "", "", folders...)))); diff != "" {
		t.Errorf("repacked by umoci: %s", diff)
	}
}

// TestPodman lets podman mount an image of our layers, and buildah commit a change for us. Both share a store.
func TestPodman(t *testing.T) {
	witness.Need(t, "root", "command:podman", "command:buildah", "filesystem:overlay")
	archives, want := twoLayers(t)
	for _, c := range []Compression{Gzip, Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			image := layout(t, c, archives...)
			store := scratch(t)
			t.Cleanup(func() { _ = unix.Unmount(store+"/root/overlay", unix.MNT_DETACH) })
			global := []string{"--root", store + "/root", "--runroot", store + "/run", "--storage-driver", "overlay"}
			buildah := func(args ...string) string { return strings.TrimSpace(run(t, "buildah", append(global, args...)...)) }
			name := buildah("from", "oci:"+filepath.Base(image)+":x")
			root := buildah("mount", name)
			if diff := cmp.Diff(withoutRoot(want), withoutRoot(manifest(t, root))); diff != "" {
				t.Errorf("unpacked by podman: %s", diff)
			}
			must(t, os.RemoveAll(filepath.Join(root, "sub/deeper")))
			write(t, filepath.Join(root, "sub/deeper"), "now a file")
			must(t, os.RemoveAll(filepath.Join(root, "added")))
			write(t, filepath.Join(root, "added/again"), "new")
			changed := withoutTimes(manifest(t, root))
			buildah("umount", name)
			target := scratch(t)
			buildah("commit", "--disable-compression=false", name, "oci:"+filepath.Base(target)+":y")
			got := manifest(t, layers(t, "", "", unpackLayout(t, target, "y")...))
			if diff := cmp.Diff(withoutRoot(changed), withoutRoot(withoutTimes(got))); diff != "" {
				t.Errorf("committed by buildah: %s", diff)
			}
			buildah("rm", name)
		})
	}
}

// withoutRoot leaves out the root, which no layer here has an entry for: each tool has its own mode for it.
func withoutRoot(manifest map[string]string) map[string]string {
	delete(manifest, ".")
	return manifest
}

// withoutTimes leaves out the times: umoci and buildah round those that they write to seconds.
func withoutTimes(manifest map[string]string) map[string]string {
	when := regexp.MustCompile(` -?[0-9]+\.[0-9]{9}`)
	for name, line := range manifest {
		manifest[name] = when.ReplaceAllString(line, "")
	}
	return manifest
}
