// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/internal/witness"
	"stave/registry/credentials"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// fake is a server that remembers what it was asked.
type fake struct {
	*httptest.Server
	mutex sync.Mutex
	seen  []string // "GET /v2/app/tags/list?n=1000 Bearer abc"
}

// serve starts a server on a loopback port.
func serve(t *testing.T, handler http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(f.watch(handler))
	t.Cleanup(f.Close)
	return f
}

// watch writes down each request before it is handled.
func (f *fake) watch(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" || r.Header.Get("Authorization") != "" { // not the question for the scheme
			f.mutex.Lock()
			f.seen = append(f.seen, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")))
			f.mutex.Unlock()
		}
		handler(w, r)
	})
}

// asked returns what the server was asked so far.
func (f *fake) asked() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return append([]string{}, f.seen...)
}

// count is how many requests begin with a text.
func (f *fake) count(prefix string) int {
	n := 0
	for _, line := range f.asked() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// host is the host and port of the server.
func (f *fake) host() string {
	return strings.TrimPrefix(strings.TrimPrefix(f.URL, "http://"), "https://")
}

// waits remembers for how long a client wanted to sleep.
type waits struct {
	mutex sync.Mutex
	all   []time.Duration
}

// sleep does not.
func (w *waits) sleep(ctx context.Context, d time.Duration) error {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.all = append(w.all, d)
	return ctx.Err()
}

// newClient is a client that waits for nothing and knows no certificates.
func newClient(t *testing.T) *Client {
	c := &Client{Sleep: (&waits{}).sleep, CertDir: t.TempDir(), Notice: func(text string) { t.Log("notice:", text) }}
	t.Cleanup(c.CloseIdle)
	return c
}

// repository is a repository called app at a host.
func repository(t *testing.T, c *Client, host string) *Repository {
	t.Helper()
	name, err := reference.ParseNormalizedNamed(host + "/app")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Repository(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// user is a credential for all registries.
func user(c credentials.Credential) func(context.Context, string) (credentials.Credential, error) {
	return func(context.Context, string) (credentials.Credential, error) { return c, nil }
}

// random is a blob of random bytes.
func random(n int) []byte {
	text := make([]byte, n)
	rand.Read(text)
	return text
}

// describe is the descriptor of a blob.
func describe(text []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(text), Size: int64(len(text))}
}

// image is a small manifest.
func image(t *testing.T, change func(*ocispec.Manifest)) ([]byte, ocispec.Descriptor) {
	t.Helper()
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{}}
	m.SchemaVersion = 2
	if change != nil {
		change(&m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := describe(text)
	d.MediaType = m.MediaType
	return text, d
}

// fetch reads all of a blob.
func fetch(ctx context.Context, r *Repository, d ocispec.Descriptor) ([]byte, error) {
	body, err := r.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// onlyReader hides that a reader can seek.
type onlyReader struct{ io.Reader }

// wantBytes fails the test if bytes differ.
func wantBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes differ from the %d wanted", len(got), len(want))
	}
}
