// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// imageName is the image that the engines run.
const imageName = "localhost/busybox:1"

// archive writes the image as a file that all engines load (docker save's form, version 1.2 of moby's image
// specification): busybox and a few files in one layer.
func archive(t *testing.T) string {
	t.Helper()
	layer := busyboxLayer(t)
	config := encode(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": []string{"sh"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := encode(t, []map[string]any{{"Config": "config.json", "RepoTags": []string{imageName}, "Layers": []string{"layer.tar"}}})
	var image bytes.Buffer
	w := tar.NewWriter(&image)
	for name, data := range map[string][]byte{"config.json": config, "layer.tar": layer, "manifest.json": manifest} {
		add(t, w, tar.Header{Name: name, Mode: 0o644}, data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(file, image.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// busyboxLayer is a root file system with the machine's static busybox as a tar archive.
func busyboxLayer(t *testing.T) []byte {
	t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	names, err := exec.Command(program, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin", "dev", "etc", "mnt", "proc", "sys", "tmp"} {
		add(t, w, tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
	}
	add(t, w, tar.Header{Name: "bin/busybox", Mode: 0o755}, binary)
	for name := range strings.FieldsSeq(string(names)) {
		if name != "busybox" {
			add(t, w, tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}, nil)
		}
	}
	add(t, w, tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/:/bin/sh\n"))
	add(t, w, tar.Header{Name: "etc/group", Mode: 0o644}, []byte("root:x:0:\n"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return layer.Bytes()
}

// add adds one file to an archive.
func add(t *testing.T, w *tar.Writer, header tar.Header, data []byte) {
	t.Helper()
	header.Size = int64(len(data))
	if err := w.WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
}

// encode is a value as JSON.
func encode(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
