// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/internal/witness"
	"stave/registry"
	"stave/registry/archive"
	"stave/registry/memory"
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

// shortFolder is a temporary folder whose path is short and in lower case: podman wants that.
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

// saveFile writes an archive to a file.
func saveFile(t *testing.T, path string, s registry.Store, images []registry.Named, form archive.Form) {
	t.Helper()
	if err := os.WriteFile(path, write(t, s, images, archive.WriteOptions{Form: form}), 0o644); err != nil {
		t.Fatal(err)
	}
}

// loadFile copies an image from an archive in a file to memory and reads it.
func loadFile(t *testing.T, path, name string) registry.Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := archive.Open(t.Context(), f, archive.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dst := memory.New()
	d, err := registry.Copy(t.Context(), dst, "x", a, name, registry.CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, dst, d)
	image, err := registry.FetchImage(t.Context(), dst, d)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// fetched reads an image of a store.
func fetched(t *testing.T, s registry.Store, d ocispec.Descriptor) registry.Image {
	t.Helper()
	image, err := registry.FetchImage(t.Context(), s, d)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestSkopeo reads our archives with skopeo in both ways, and we read what skopeo writes in both ways.
func TestSkopeo(t *testing.T) {
	witness.Need(t, "root", "command:skopeo")
	s, images := two(t)
	dir := t.TempDir()
	docker, oci := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "oci.tar")
	saveFile(t, docker, s, images, archive.Docker)
	saveFile(t, oci, s, images, archive.OCI)
	for _, named := range images {
		want := fetched(t, s, named.Descriptor)
		familiar := registry.Familiar(named.Name)
		for _, source := range []string{"docker-archive:" + docker + ":" + familiar, "oci-archive:" + oci + ":" + named.Name} {
			var config ocispec.Image
			text := program(t, "skopeo", "inspect", "--config", source)
			if err := json.Unmarshal([]byte(text), &config); err != nil || !slices.Equal(config.RootFS.DiffIDs, want.Config.RootFS.DiffIDs) {
				t.Errorf("%s: skopeo sees the diff IDs %v, %v; want %v", source, config.RootFS.DiffIDs, err, want.Config.RootFS.DiffIDs)
			}
			for form, theirs := range map[string]string{"docker-archive:": filepath.Join(t.TempDir(), "d.tar"), "oci-archive:": filepath.Join(t.TempDir(), "o.tar")} {
				program(t, "skopeo", "copy", "--insecure-policy", source, form+theirs+":"+familiar)
				got := loadFile(t, theirs, "")
				if !slices.Equal(got.Config.RootFS.DiffIDs, want.Config.RootFS.DiffIDs) {
					t.Errorf("%s as %s: the diff IDs are %v, want %v", source, form, got.Config.RootFS.DiffIDs, want.Config.RootFS.DiffIDs)
				}
				if form == "docker-archive:" && got.Manifest.Config.Digest != want.Manifest.Config.Digest && strings.HasPrefix(source, "docker") {
					t.Errorf("%s as %s: the ID is %s, want %s", source, form, got.Manifest.Config.Digest, want.Manifest.Config.Digest)
				}
				if strings.HasPrefix(source, "oci") && form == "oci-archive:" && got.Descriptor.Digest != named.Descriptor.Digest {
					t.Errorf("%s as %s: %s, want %s", source, form, got.Descriptor.Digest, named.Descriptor.Digest)
				}
			}
		}
	}
	raw := program(t, "skopeo", "inspect", "--raw", "oci-archive:"+oci+":"+images[0].Name)
	if got := digest.FromString(raw); got != images[0].Descriptor.Digest {
		t.Errorf("skopeo reads the manifest %s, want %s", got, images[0].Descriptor.Digest)
	}
}

// TestPodman loads our archives with podman, reads what podman saves of them, and finds the same IDs.
func TestPodman(t *testing.T) {
	witness.Need(t, "root", "command:podman")
	s, images := two(t)
	dir := shortFolder(t)
	with := func(t *testing.T, args ...string) string {
		t.Helper()
		in := []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "r"), "--storage-driver", "vfs"}
		return program(t, "podman", append(in, args...)...)
	}
	for form, name := range map[archive.Form]string{archive.Docker: "docker-archive", archive.OCI: "oci-archive"} {
		t.Run(name, func(t *testing.T) {
			ours := images
			if form == archive.OCI {
				ours = images[1:2] // podman loads one image of an OCI archive
			}
			path := filepath.Join(dir, name+".tar")
			saveFile(t, path, s, ours, form)
			with(t, "load", "-i", path)
			for _, named := range ours {
				want := fetched(t, s, named.Descriptor)
				if id := strings.TrimSpace(with(t, "inspect", "--format", "{{.Id}}", named.Name)); id != want.Manifest.Config.Digest.Encoded() {
					t.Errorf("%s: podman has the ID %s, want %s", named.Name, id, want.Manifest.Config.Digest)
				}
				saved := filepath.Join(t.TempDir(), "saved.tar")
				with(t, "save", "--format", name, "-o", saved, named.Name)
				got := loadFile(t, saved, named.Name)
				if got.Manifest.Config.Digest != want.Manifest.Config.Digest || !slices.Equal(got.Config.RootFS.DiffIDs, want.Config.RootFS.DiffIDs) {
					t.Errorf("%s: podman saved the ID %s and the diff IDs %v", named.Name, got.Manifest.Config.Digest, got.Config.RootFS.DiffIDs)
				}
			}
			with(t, "rmi", "-a", "-f")
		})
	}
}
