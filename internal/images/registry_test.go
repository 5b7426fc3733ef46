// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/internal/witness"
)

// dockerRegistry starts a docker-registry that keeps its data in a folder, and returns its address.
func dockerRegistry(t *testing.T, dir string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the tests have a network of their own: nobody takes the port meanwhile
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "config.yml")
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", dir, address)
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("docker-registry", "serve", name)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	witness.Until(t, "docker-registry answers", func() bool {
		response, err := http.Get("http://" + address + "/v2/")
		return err == nil && response.Body.Close() == nil
	})
	return address
}

// pulled fetches all blobs of an image from a registry and holds them against their digests.
func pulled(t *testing.T, address, repository, tag string) map[digest.Digest]bool {
	t.Helper()
	fetch := func(path string) []byte {
		request, err := http.NewRequest(http.MethodGet, "http://"+address+"/v2/"+repository+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", ocispec.MediaTypeImageManifest)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", path, response.Status, err)
		}
		return body
	}
	text := fetch("/manifests/" + tag)
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatalf("manifest: %v: %s", err, text)
	}
	found := map[digest.Digest]bool{digest.FromBytes(text): true}
	for _, d := range append(m.Layers, m.Config) {
		if got := digest.FromBytes(fetch("/blobs/" + d.Digest.String())); got != d.Digest {
			t.Errorf("blob %s has the digest %s", d.Digest, got)
		}
		found[d.Digest] = true
	}
	return found
}
