// SPDX-License-Identifier: Apache-2.0

package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestModes looks at who may open the folder and its locks, also those of a registry that was made otherwise.
func TestModes(t *testing.T) {
	root := t.TempDir() + "/root"
	check := func() {
		t.Helper()
		for name, want := range map[string]os.FileMode{"": os.ModeDir | 0o700, "_lock": 0o600, "a/lock": 0o600} {
			if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != want {
				t.Errorf("%q has the mode %v, want %v (%v)", name, info.Mode(), want, err)
			}
		}
	}
	t.Run("new", func(t *testing.T) { startAt(t, root, Options{}).push("a", "latest", "layer") })
	check()
	for _, name := range []string{"_lock", "a/lock"} {
		if err := os.Chmod(filepath.Join(root, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("old", func(t *testing.T) { startAt(t, root, Options{}).push("a", "other", "layer") })
	check()
}

// TestWithheldBody announces a body and sends none: the connection ends.
func TestWithheldBody(t *testing.T) {
	accounts := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(accounts, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := OpenAccounts(accounts, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{"refused": {Accounts: known}, "waited for": {}} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.TempDir(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.patience = time.Second
			web := httptest.NewServer(s)
			defer web.Close()
			c := half(t, web.URL, "PUT", "/v2/a/manifests/latest", 1, "")
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 40") {
				t.Errorf("the connection stays: %q, %v", answer, err)
			}
		})
	}
}

// clocked is an answer whose connection notes its deadlines.
type clocked struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

// SetReadDeadline notes it.
func (c *clocked) SetReadDeadline(at time.Time) error {
	c.read = append(c.read, at)
	return nil
}

// SetWriteDeadline notes it.
func (c *clocked) SetWriteDeadline(at time.Time) error {
	c.write = append(c.write, at)
	return nil
}

// TestDeadlines looks at the deadlines of requests: every answer has one, a body that comes moves its own on.
func TestDeadlines(t *testing.T) {
	r := start(t, Options{})
	layer := strings.Repeat("layer", 100_000) // 50 s at the slowest
	r.push("a", "latest", layer)
	for target, slowest := range map[string]time.Duration{
		"/v2/": patience, "/v2/a/manifests/latest": patience, "/v2/a/manifests/none": patience, "/v2/a/tags/list": patience,
		"/": patience, "/metrics": patience, "/v2/a/blobs/" + digest.FromString(layer).String(): patience + 50*time.Second,
	} {
		c := &clocked{ResponseRecorder: httptest.NewRecorder()}
		before := time.Now()
		r.server.ServeHTTP(c, httptest.NewRequest("GET", target, nil))
		if len(c.write) != 2 || !c.write[0].IsZero() || c.write[1].Before(before.Add(slowest)) || c.write[1].After(time.Now().Add(slowest)) {
			t.Errorf("%s has from %v on the deadlines %v", target, before, c.write)
		}
		if len(c.read) != 0 {
			t.Errorf("%s has no body, but the deadlines %v", target, c.read)
		}
	}
	c := &clocked{ResponseRecorder: httptest.NewRecorder()}
	body := io.MultiReader(strings.NewReader("con"), strings.NewReader("tent"))
	request := httptest.NewRequest("PATCH", r.startUploadOf("a"), body)
	r.server.ServeHTTP(c, request)
	if c.Code != http.StatusAccepted || len(c.read) != 5 || !c.read[4].IsZero() {
		t.Fatalf("%d, with the deadlines %v", c.Code, c.read)
	}
	for i := range 3 {
		if c.read[i+1].Before(c.read[i]) {
			t.Errorf("not moved on: %v", c.read)
		}
	}
}
