// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"stave/internal/witness"
)

// layout writes an OCI image layout with an image v1 of one file, and returns the digest of its manifest.
func layout(t *testing.T, dir string) string {
	t.Helper()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	text := []byte(strings.Repeat("hello from a layer\n", 10_000))
	if err := w.WriteHeader(&tar.Header{Name: "hello", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	if _, err := z.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	blob := func(content string) string {
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		keep(t, filepath.Join(dir, "blobs/sha256", sum), content)
		return fmt.Sprintf(`"digest":"sha256:%s","size":%d`, sum, len(content))
	}
	config := blob(fmt.Sprintf(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(plain.Bytes())))
	manifest := blob(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",`+
		`"config":{"mediaType":"application/vnd.oci.image.config.v1+json",%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip",%s}]}`, config, blob(layer.String())))
	keep(t, filepath.Join(dir, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
	keep(t, filepath.Join(dir, "index.json"), fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s,`+
		`"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`, manifest))
	return strings.Split(manifest, `"`)[3]
}

// peer runs another program, with an environment of its own, and returns what it prints to standard output.
func peer(t *testing.T, env []string, command ...string) string {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), env...)
	var errors bytes.Buffer
	c.Stderr = &errors
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out, errors.String())
	}
	return string(out)
}

// TestRegistryPeers has skopeo, podman and buildah push to a registry with TLS and a password and pull from it, by both ways to ask
// for that; and skopeo read the folder.
func TestRegistryPeers(t *testing.T) {
	witness.Need(t, "root", "command:skopeo", "command:podman", "command:buildah")
	const locks = "/dev/shm/libpod_lock"
	if _, err := os.Stat(locks); os.IsNotExist(err) { // podman makes it
		t.Cleanup(func() { os.Remove(locks) })
	}
	for _, auth := range []string{"basic", "token"} {
		t.Run(auth, func(t *testing.T) {
			dir := t.TempDir()
			certificate, key := certify(t, filepath.Join(dir, "certs"))
			keep(t, filepath.Join(dir, "client/ca.crt"), read(t, certificate))
			pushed := layout(t, filepath.Join(dir, "image"))
			root := filepath.Join(dir, "root")
			s := serveRegistry(t, "--root", root, "--tls-cert", certificate, "--tls-key", key, "--htpasswd", passwords(t, dir), "--auth", auth)
			env := []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "REGISTRY_AUTH_FILE=" + dir + "/auth.json"}
			certs, store := "--cert-dir="+dir+"/client", []string{"--root=" + dir + "/store", "--runroot=" + brief(t), "--storage-driver=vfs"}
			image := s.host + "/team/app"

			if out, err := exec.Command("skopeo", "list-tags", certs, "docker://"+image).CombinedOutput(); err == nil {
				t.Errorf("without a password: %s", out)
			}
			if out, err := exec.Command("skopeo", "list-tags", certs, "--creds=bob:wrong", "docker://"+image).CombinedOutput(); err == nil {
				t.Errorf("with a wrong password: %s", out)
			}
			peer(t, env, "skopeo", "login", certs, "-u", "bob", "-p", "secret", s.host)
			peer(t, env, "skopeo", "copy", "-q", "--dest-cert-dir="+dir+"/client", "oci:"+dir+"/image:v1", "docker://"+image+":v1")
			if got := strings.TrimSpace(peer(t, env, "skopeo", "inspect", certs, "--format={{.Digest}}", "docker://"+image+":v1")); got != pushed {
				t.Errorf("skopeo pushed %s, there is %s", pushed, got)
			}
			for _, program := range []string{"podman", "buildah"} {
				run := func(args ...string) string {
					return peer(t, env, append(append([]string{program}, store...), args...)...)
				}
				run("pull", "-q", certs, image+":v1")
				run("push", "-q", certs, image+":v1", "docker://"+s.host+"/from/"+program+":v1")
				run("push", "-q", certs, "--format=v2s2", image+":v1", "docker://"+s.host+"/from/"+program+":docker")
				run("rmi", "-f", image+":v1")
				run("pull", "-q", certs, s.host+"/from/"+program+":docker")
			}
			peer(t, env, "skopeo", "copy", "-q", "oci:"+root+"/from/podman:v1", "dir:"+dir+"/out")
			peer(t, env, "skopeo", "delete", certs, "docker://"+image+":v1")
			if got := peer(t, env, "skopeo", "list-tags", certs, "docker://"+image); strings.Contains(got, "v1") {
				t.Errorf("after the deletion: %s", got)
			}
			if code := s.stop(syscall.SIGTERM); code != 0 || s.errors.Len() > 0 {
				t.Errorf("the registry ends with %d:\n%s", code, s.errors.String())
			}
			wholeBlobs(t, root)
		})
	}
}

// brief is a temporary folder with a short name: podman takes no other.
func brief(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "stave")
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

// read reads a file.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wholeBlobs holds all blobs below a folder against their names.
func wholeBlobs(t *testing.T, root string) {
	t.Helper()
	files := strings.Fields(peer(t, nil, "find", root, "-path", "*/blobs/sha256/*", "-type", "f"))
	for _, file := range files {
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, file)))); got != filepath.Base(file) {
			t.Errorf("%s has the digest %s", file, got)
		}
	}
	if len(files) == 0 {
		t.Error("there are no blobs")
	}
}

// TestRegistryDocker has the docker client log in, make a manifest list of an image and push it, for which it needs no daemon, over TLS. It
// speaks plain http to every address of the machine itself, so the registry gets another one.
func TestRegistryDocker(t *testing.T) {
	witness.Need(t, "root", "command:docker", "command:skopeo", "command:ip")
	const address = "192.0.2.1" // for documentation, RFC 5737
	peer(t, nil, "ip", "address", "add", address+"/32", "dev", "lo")
	t.Cleanup(func() { peer(t, nil, "ip", "address", "del", address+"/32", "dev", "lo") })
	for _, auth := range []string{"basic", "token"} {
		t.Run(auth, func(t *testing.T) {
			dir := t.TempDir()
			certificate, key := certify(t, dir, address)
			layout(t, filepath.Join(dir, "image"))
			s := serveRegistry(t, "--addr", address+":0", "--root", dir+"/root", "--tls-cert", certificate, "--tls-key", key, "--htpasswd", passwords(t, dir), "--auth", auth)
			env := []string{"HOME=" + dir, "DOCKER_CONFIG=" + dir + "/docker", "SSL_CERT_FILE=" + certificate}
			image := s.host + "/team/app"
			if out, err := exec.Command("sh", "-c", "echo wrong | docker login -u bob --password-stdin "+s.host).CombinedOutput(); err == nil {
				t.Errorf("with a wrong password: %s", out)
			}
			peer(t, env, "sh", "-c", "echo secret | docker login -u bob --password-stdin "+s.host)
			peer(t, env, "skopeo", "copy", "-q", "--dest-creds=bob:secret", "--format=v2s2", "oci:"+dir+"/image:v1", "docker://"+image+":amd64")
			peer(t, env, "docker", "manifest", "create", image+":list", image+":amd64")
			peer(t, env, "docker", "manifest", "annotate", "--arch=arm64", "--variant=v8", image+":list", image+":amd64")
			pushed := strings.TrimSpace(peer(t, env, "docker", "manifest", "push", "--purge", image+":list"))
			if got := peer(t, env, "docker", "manifest", "inspect", image+":list"); !strings.Contains(got, `"variant": "v8"`) {
				t.Errorf("the list: %s", got)
			}
			if got := strings.TrimSpace(peer(t, env, "skopeo", "inspect", "--creds=bob:secret", "--format={{.Digest}}", "--override-arch=arm64", "docker://"+image+":list")); got != pushed {
				t.Errorf("docker pushed %s, there is %s", pushed, got)
			}
			peer(t, env, "docker", "logout", s.host)
			if out, err := exec.Command("docker", "manifest", "inspect", image+":amd64").CombinedOutput(); err == nil {
				t.Errorf("after logout: %s", out)
			}
		})
	}
}

// TestRegistryDiskFull pushes more than the disk takes: the client is told, and the registry goes on with what fits.
func TestRegistryDiskFull(t *testing.T) {
	witness.Need(t, "root")
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := serveRegistry(t, "--root", dir)
	push := func(content string) int {
		answer, err := http.Post(fmt.Sprintf("%s/v2/a/blobs/uploads/?digest=sha256:%x", s.url, sha256.Sum256([]byte(content))), "", strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if code := push("small"); code != http.StatusCreated {
		t.Errorf("small: %d", code)
	}
	if code := push(strings.Repeat("large", 1<<20)); code != http.StatusInsufficientStorage {
		t.Errorf("large: %d", code)
	}
	if code := push("small again"); code != http.StatusCreated {
		t.Errorf("after it: %d", code)
	}
	wholeBlobs(t, dir)
	if code := s.stop(syscall.SIGTERM); code != 0 || !strings.Contains(s.errors.String(), "no space left on device") {
		t.Errorf("it ends with %d:\n%s", code, s.errors.String())
	}
}

// TestRegistryConcurrentPushes has eight skopeos push one image at a time to four repositories.
func TestRegistryConcurrentPushes(t *testing.T) {
	witness.Need(t, "command:skopeo")
	dir := t.TempDir()
	pushed := layout(t, filepath.Join(dir, "image"))
	s := serveRegistry(t, "--root", dir+"/root")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			out, err := exec.Command("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:"+dir+"/image:v1", fmt.Sprintf("docker://%s/app%d:v%d", s.host, i%4, i)).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		answer, err := http.Head(fmt.Sprintf("%s/v2/app%d/manifests/v%d", s.url, i%4, i))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("Docker-Content-Digest"); got != pushed {
			t.Errorf("v%d is %s", i, got)
		}
	}
	wholeBlobs(t, dir+"/root")
}
