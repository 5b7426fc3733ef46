// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestKilled kills a registry with SIGKILL twenty times while images are pushed to it. Each time no file may be wrong, and all
// that was answered with 201 has to be there after the next start.
func TestKilled(t *testing.T) {
	root := t.TempDir()
	var pushed acknowledged
	for round := range 20 {
		process, url := startProcess(t, root)
		before := pushed.count()
		var pushers sync.WaitGroup
		for i := range 3 {
			pushers.Go(func() {
				for j := 0; pushOnce(url, fmt.Sprintf("r%d-%d-%d", round, i, j), &pushed); j++ {
				}
			})
		}
		until(t, "an image is there", func() bool { return pushed.count() > before })
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond) // at some moment of another push
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = process.Wait() // it was killed
		pushers.Wait()
		checkFolder(t, root)
	}
	r := startAt(t, root, Options{})
	t.Logf("%d pushes were answered", pushed.count())
	for tag, manifest := range pushed.images {
		if got := r.want(200, "", "GET", "/v2/a/manifests/"+tag, ""); got.body != manifest {
			t.Errorf("%s is %q", tag, got.body)
		}
		r.want(200, "", "GET", "/v2/a/blobs/"+digest.FromString(layerOf(tag)).String(), "")
	}
	age(t, root)
	r.collectQuietly()
	if files := uploaded(t, root); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
	for tag := range pushed.images {
		r.want(200, "", "GET", "/v2/a/blobs/"+digest.FromString(layerOf(tag)).String(), "")
	}
}

// collectQuietly collects, whatever there is.
func (r remote) collectQuietly() {
	r.t.Helper()
	if _, err := r.server.Collect(r.t.Context()); err != nil {
		r.t.Error(err)
	}
}

// acknowledged are the manifests by tag that a registry has answered 201 to.
type acknowledged struct {
	lock   sync.Mutex
	images map[string]string
}

// add notes an image.
func (a *acknowledged) add(tag, manifest string) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if a.images == nil {
		a.images = map[string]string{}
	}
	a.images[tag] = manifest
}

// count is how many there are.
func (a *acknowledged) count() int {
	a.lock.Lock()
	defer a.lock.Unlock()
	return len(a.images)
}

// startProcess starts the test binary as a registry and returns its address.
func startProcess(t *testing.T, root string) (*exec.Cmd, string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "STAVE_TEST_ROOT="+root)
	c.Stderr = os.Stderr
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, strings.TrimSpace(line)
}

// layerOf is the layer of an image.
func layerOf(tag string) string { return strings.Repeat(tag, 20_000) }

// pushOnce pushes an image in chunks and reports whether the registry still lives.
func pushOnce(url, tag string, pushed *acknowledged) bool {
	layer, config := layerOf(tag), "{}"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		ocispec.MediaTypeImageConfig, digest.FromString(config), ocispec.MediaTypeImageLayer, digest.FromString(layer), len(layer))
	at := ""
	for _, step := range []struct{ method, path, body string }{
		{"POST", "/v2/a/blobs/uploads/?digest=" + digest.FromString(config).String(), config},
		{"POST", "/v2/a/blobs/uploads/", ""},
		{"PATCH", "", layer[:50_000]},
		{"PATCH", "", layer[50_000:]},
		{"PUT", "?digest=" + digest.FromString(layer).String(), ""},
		{"PUT", "/v2/a/manifests/" + tag, manifest},
	} {
		path := step.path
		if !strings.HasPrefix(path, "/") {
			path = at + path
		}
		request, err := http.NewRequest(step.method, url+path, strings.NewReader(step.body))
		if err != nil {
			return false
		}
		request.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			return false
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode > 299 {
			return false
		}
		if to := answer.Header.Get("Location"); strings.Contains(to, "/uploads/") {
			at = to
		}
	}
	pushed.add(tag, manifest)
	return true
}
