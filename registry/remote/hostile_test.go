// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/registry"
	"stave/registry/credentials"
	"stave/registry/layout"
)

// TestRedirectOfRefreshToken has a token service redirect the request with the user's refresh token to another host.
func TestRedirectOfRefreshToken(t *testing.T) {
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			thief := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":"x"}`) })
			var s *fake
			s = serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					http.Redirect(w, r, thief.URL+"/steal", status)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			c := newClient(t)
			c.Credentials = user(credentials.Credential{IdentityToken: "refresh"})
			if err := tags(t.Context(), repository(t, c, s.host())); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), thief.host()) {
				t.Errorf("got %v", err)
			}
			if asked := thief.asked(); len(asked) > 0 {
				t.Errorf("the other host was asked: %q", asked)
			}
		})
	}
}

// TestLoginOfStranger has a registry redirect the first request of a login to another host, which asks for the password.
func TestLoginOfStranger(t *testing.T) {
	for _, scheme := range []string{"Bearer", "Basic"} {
		t.Run(scheme, func(t *testing.T) {
			var thief *fake
			thief = serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("WWW-Authenticate", scheme+` realm="`+thief.URL+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+"/v2/", http.StatusFound) })
			_, err := newClient(t).Login(t.Context(), s.host(), credentials.Credential{Username: "ann", Password: "secret"})
			if !errors.Is(err, ErrUnauthorized) {
				t.Errorf("got %v", err)
			}
			for _, line := range append(thief.asked(), s.asked()...) {
				if strings.Contains(line, "Basic") || strings.Contains(line, "/token") {
					t.Errorf("the password was sent: %s", line)
				}
			}
		})
	}
}

// TestTokenServiceNotFound has a token service that isn't there: that says nothing of the blob.
func TestTokenServiceNotFound(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusBadRequest} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var s *fake
			s = serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					w.WriteHeader(status)
					return
				}
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			r := repository(t, newClient(t), s.host())
			d := describe([]byte("blob"))
			if has, err := r.Exists(t.Context(), d); err == nil || errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrUnsupported) {
				t.Errorf("exists: %v, %v", has, err)
			}
			if list, err := r.Referrers(t.Context(), d, ""); err == nil {
				t.Errorf("referrers: %v", list)
			}
		})
	}
}

// TestPushForgotten has a registry forget each session after the first chunk, for long: a chunk that comes a second time is no
// progress.
func TestPushForgotten(t *testing.T) {
	const mega, enough = 1 << 20, 30
	var s *fake
	taken := map[string]bool{}
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodHead, r.Method == http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", fmt.Sprint("up", s.count("POST")))
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodPatch && taken[r.URL.Path] && s.count("POST") < enough:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPatch:
			taken[r.URL.Path] = true
			w.WriteHeader(http.StatusAccepted)
		case r.Method == http.MethodPut:
			w.WriteHeader(http.StatusCreated)
		}
	})
	c := newClient(t)
	c.ChunkSize = mega
	text := random(3 * mega)
	err := repository(t, c, s.host()).Push(t.Context(), describe(text), bytes.NewReader(text))
	if n := s.count("POST"); err == nil || n >= enough {
		t.Errorf("%d sessions, %v", n, err)
	}
}

// TestPushTooLarge has a registry, or a proxy before it, take no more than some bytes at once.
func TestPushTooLarge(t *testing.T) {
	for name, c := range map[string]struct {
		limit int64
		want  string
		fails bool
	}{
		"chunks are taken": {smallChunk, "POST PUT POST PATCH PATCH PUT", false},
		"they are not":     {smallChunk - 1, "POST PUT POST PATCH DELETE", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSessions(t)
			s.limit = c.limit
			text := random(smallChunk + 1)
			err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), bytes.NewReader(text))
			if c.fails != (err != nil) || c.fails && !strings.Contains(err.Error(), "413") {
				t.Errorf("got %v", err)
			}
			if !c.fails {
				wantBytes(t, s.blobs[describe(text).Digest.String()], text)
			}
			if diff := cmp.Diff(c.want, s.methods()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMountRefused has a registry refuse to mount: then the bytes are pushed.
func TestMountRefused(t *testing.T) {
	for status, pushed := range map[int]bool{
		http.StatusUnauthorized: true, http.StatusForbidden: true, http.StatusNotFound: true, http.StatusMethodNotAllowed: true, http.StatusTeapot: false,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			c := newClient(t)
			done, err := repository(t, c, s.host()).Mount(t.Context(), describe([]byte("blob")), repository(t, c, s.host()+"/other"))
			if done || pushed != (err == nil) {
				t.Errorf("got %v, %v", done, err)
			}
		})
	}
}

// TestTooManyReferrers has a registry list them page by page without end.
func TestTooManyReferrers(t *testing.T) {
	const each = 30_000
	page := `{"schemaVersion":2,"manifests":[{}` + strings.Repeat(",{}", each-1) + `]}`
	var s *fake
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		if n := s.count("GET"); n < 10 {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, n))
		}
		fmt.Fprint(w, page)
	})
	_, err := repository(t, newClient(t), s.host()).Referrers(t.Context(), describe([]byte("x")), "")
	if n := s.count("GET"); !errors.Is(err, errRefused) || n != maxReferrers/each+1 {
		t.Errorf("%v after %d pages", err, n)
	}
}

// TestVerifiesItself says of which blob a reader looks at the digest itself, and pulls one with wrong bytes, which a folder then doesn't
// look at again.
func TestVerifiesItself(t *testing.T) {
	right, wrong := random(1<<20), random(1<<20)
	d := describe(right)
	for name, ranges := range map[string]bool{"with ranges": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			r := repository(t, newClient(t), serve(t, cutting(wrong, ranges, 1000, 1<<19)).host())
			body, err := r.Fetch(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if !registry.Verifies(body, d) || registry.Verifies(body, describe(wrong)) {
				t.Error("it verifies other than its own blob")
			}
			if _, err := io.ReadFull(body, make([]byte, 1)); err != nil || registry.Verifies(body, d) {
				t.Errorf("after the first byte it says that it verifies all, %v", err)
			}
			l, err := layout.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			again, err := r.Fetch(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if err := l.Push(t.Context(), d, again); !errors.Is(err, registry.ErrDigest) {
				t.Errorf("push of wrong bytes: %v", err)
			}
			if has, err := l.Exists(t.Context(), d); has || err != nil {
				t.Errorf("wrong bytes are there: %v, %v", has, err)
			}
		})
	}
}

// TestSpanEnds has the number of the last byte be such that there is none after it.
func TestSpanEnds(t *testing.T) {
	if _, last, ok := parseSpan("0-9223372036854775807"); ok {
		t.Errorf("after byte %d comes %d", last, last+1)
	}
}
