// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// each runs a test for each user, with a folder of his.
func each(t *testing.T, test func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack)) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox", "filesystem:overlay")
			output, err := as(exec.Command("mktemp", "-d")).Output()
			if err != nil {
				t.Fatal(err)
			}
			s := stack{strings.TrimSpace(string(output))}
			t.Cleanup(func() { os.RemoveAll(s.dir) })
			test(t, as, s)
		})
	}
}

// blob reads a blob of the layout and sees that its name is the SHA-256 of its bytes.
func blob(t *testing.T, s stack, d ocispec.Descriptor) []byte {
	t.Helper()
	data, err := os.ReadFile(s.path("image/blobs/sha256", d.Digest.Encoded()))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != d.Digest.Encoded() || int64(len(data)) != d.Size {
		t.Errorf("%s has %d bytes with the digest %x", d.Digest, len(data), sum)
	}
	return data
}

// parse reads JSON.
func parse[T any](t *testing.T, data []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// archive decompresses a layer and returns its names and digest.
func archive(t *testing.T, blob []byte) (names []string, sum string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(bytes.NewReader(all))
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	hash := sha256.Sum256(all)
	return names, "sha256:" + hex.EncodeToString(hash[:])
}

// TestCommand runs the image's own command: it sees both layers, and the whiteout.
func TestCommand(t *testing.T) {
	each(t, func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack) {
		output, code := finish(t, as(exec.Command(step, "-dir", s.dir)))
		if want := "dir\nold\none\ntwo\nand no /etc/motd: the second layer has a whiteout for it.\n"; code != 0 || !strings.HasSuffix(output, want) {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
	})
}

// TestDigests reads the image from the disk with nothing of ours: the layout, the digests, the diff IDs, the folders named by chain IDs, and
// a whiteout in both its forms.
func TestDigests(t *testing.T) {
	each(t, func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack) {
		output, code := finish(t, as(exec.Command(step, "-dir", s.dir, "true")))
		if code != 0 {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		text, err := os.ReadFile(s.path("image/index.json"))
		if err != nil {
			t.Fatal(err)
		}
		index := parse[ocispec.Index](t, text)
		if len(index.Manifests) != 1 || index.Manifests[0].Annotations[ocispec.AnnotationRefName] != "docker.io/library/lesson:latest" {
			t.Fatalf("index.json has %+v", index.Manifests)
		}
		manifest := parse[ocispec.Manifest](t, blob(t, s, index.Manifests[0]))
		config := parse[ocispec.Image](t, blob(t, s, manifest.Config))
		if len(manifest.Layers) != 2 || len(config.RootFS.DiffIDs) != 2 {
			t.Fatalf("%d layers, %d diff IDs", len(manifest.Layers), len(config.RootFS.DiffIDs))
		}
		chain := ""
		for i, d := range manifest.Layers {
			names, sum := archive(t, blob(t, s, d))
			if config.RootFS.DiffIDs[i].String() != sum {
				t.Errorf("layer %d: diff ID %s, and the archive has %s", i+1, config.RootFS.DiffIDs[i], sum)
			}
			if chain == "" {
				chain = sum
			} else {
				hash := sha256.Sum256([]byte(chain + " " + sum))
				chain = "sha256:" + hex.EncodeToString(hash[:])
			}
			for _, part := range []string{d.Digest.String(), sum, chain} {
				if !strings.Contains(output, part) {
					t.Errorf("layer %d: the step does not print %s:\n%s", i+1, part, output)
				}
			}
			if has := slices.Contains(names, "etc/.wh.motd"); has != (i == 1) {
				t.Errorf("layer %d has %v", i+1, names)
			}
		}
		checkUnpacked(t, s.path("unpacked", strings.TrimPrefix(chain, "sha256:"), "fs"))
	})
}

// checkUnpacked looks at the unpacked second layer.
func checkUnpacked(t *testing.T, folder string) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(folder, "etc/motd"))
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Mode&unix.S_IFMT != unix.S_IFCHR || stat.Rdev != 0 {
		t.Errorf("the whiteout is %v, device %d", info.Mode(), stat.Rdev)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "srv/one")); err != nil || string(text) != "I am layer2/srv/one\n" {
		t.Errorf("srv/one is %q, error %v", text, err)
	}
}

// TestCompressedTwice finds the other digest that the step prints, by compressing the archive as it says.
func TestCompressedTwice(t *testing.T) {
	first, err := compress([]byte(strings.Repeat("an archive ", 1000)), gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	second, err := compress([]byte(strings.Repeat("an archive ", 1000)), gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := decompress(bytes.NewReader(first))
	b, err2 := decompress(bytes.NewReader(second))
	if err := errors.Join(err1, err2); err != nil || digestOf(first) == digestOf(second) || digestOf(a) != digestOf(b) {
		t.Errorf("blobs %s and %s, archives %s and %s, error %v", digestOf(first), digestOf(second), digestOf(a), digestOf(b), err)
	}
}

// TestRun looks at the mounts of a command that runs in the image, and at its exit code.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack) {
		r := begin(t, as(exec.Command(step, "-dir", s.dir, "cat")), "cat", false)
		mounts := witness.Mounts(t, r.pid)
		if !slices.ContainsFunc(mounts, func(m witness.Mount) bool { return m.Point == "/" && m.Type == "overlay" }) {
			t.Errorf("the command's mounts are %+v", mounts)
		}
		if code := r.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if _, code := finish(t, as(exec.Command(step, "sh", "-c", "rm /srv/one; exit 3"))); code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), "stave-*")); err != nil || len(left) > 0 {
			t.Errorf("left %v, error %v", left, err)
		}
	})
}

// TestDamaged changes one byte of each blob in turn: the step finds it, names it, and runs nothing.
func TestDamaged(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	s := stack{t.TempDir()}
	if output, code := finish(t, exec.Command(step, "-dir", s.dir, "true")); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	blobs, err := filepath.Glob(s.path("image/blobs/sha256/*"))
	if err != nil || len(blobs) != 4 {
		t.Fatalf("blobs %v, error %v", blobs, err)
	}
	for _, name := range blobs {
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(name, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(step, "-dir", s.dir, "echo", "I run").CombinedOutput()
		if err == nil || strings.Contains(string(output), "I run\n") || !strings.Contains(string(output), filepath.Base(name)) {
			t.Errorf("%s: error %v:\n%s", name, err, output)
		}
		if err := os.WriteFile(name, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOthers lets another program read the layout.
func TestOthers(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay", "command:skopeo")
	s := stack{t.TempDir()}
	if output, code := finish(t, exec.Command(step, "-dir", s.dir, "true")); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	output, code := finish(t, exec.Command("skopeo", "inspect", "--config", "oci:"+s.path("image")+":docker.io/library/lesson:latest"))
	if code != 0 || len(parse[ocispec.Image](t, []byte(output)).RootFS.DiffIDs) != 2 {
		t.Errorf("exit code %d:\n%s", code, output)
	}
}
