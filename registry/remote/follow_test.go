// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stave/registry/credentials"
)

// loggedIn is a client of ann.
func loggedIn(t *testing.T) *Client {
	c := newClient(t)
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "secret"})
	return c
}

// wantBasic answers requests without a password with a challenge, and reports whether it did.
func wantBasic(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") != "" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// TestRedirectDropsCredentials has a registry redirect to a storage on another host, which redirects back: the storage never
// gets the password, and neither does the registry once the way led elsewhere.
func TestRedirectDropsCredentials(t *testing.T) {
	text := []byte("blob")
	var registry, storage *fake
	storage = serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, registry.URL+"/back?signature=x", http.StatusFound)
	})
	registry = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/back":
			w.Write(text)
		case wantBasic(w, r):
		case r.URL.Path == "/v2/same":
			http.Redirect(w, r, storage.URL+"/blob?signature=x", http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, "/v2/same", http.StatusMovedPermanently)
		}
	})
	got, err := fetch(t.Context(), repository(t, loggedIn(t), registry.host()), describe(text))
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, text)
	for _, line := range append(storage.asked(), registry.asked()...) {
		sent := strings.Contains(line, "Basic")
		if strings.Contains(line, "signature=") && sent {
			t.Errorf("the password was sent: %s", line)
		}
		if strings.Contains(line, "/v2/same") && !sent {
			t.Errorf("the password was not sent to the same host: %s", line)
		}
	}
	if len(storage.asked()) != 1 || registry.count("GET /back") != 1 {
		t.Errorf("storage: %q, registry: %q", storage.asked(), registry.asked())
	}
}

// TestStrangerAsksForPassword has another host ask for the password after a redirect, also for a token service of its own.
func TestStrangerAsksForPassword(t *testing.T) {
	var thief *fake
	thief = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("WWW-Authenticate", `Bearer realm="`+thief.URL+`/token"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="give"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	registry := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/x", http.StatusFound)
	})
	_, err := fetch(t.Context(), repository(t, loggedIn(t), registry.host()), describe([]byte("blob")))
	if err == nil {
		t.Error("no error")
	}
	for _, line := range thief.asked() {
		if strings.Contains(line, "Basic") {
			t.Errorf("the password was sent: %s", line)
		}
	}
}

// TestUploadElsewhere has a registry open an upload on another host: the bytes go there, the password does not.
func TestUploadElsewhere(t *testing.T) {
	storage := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
	})
	registry := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case wantBasic(w, r):
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Location", storage.URL+"/upload")
			w.WriteHeader(http.StatusAccepted)
		}
	})
	if err := repository(t, loggedIn(t), registry.host()).Push(t.Context(), describe([]byte("blob")), strings.NewReader("blob")); err != nil {
		t.Fatal(err)
	}
	if asked := storage.asked(); len(asked) != 1 || !strings.HasPrefix(asked[0], "PUT /upload?digest=") || strings.Contains(asked[0], "Basic") {
		t.Errorf("storage: %q", asked)
	}
}

func TestRedirectsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		location, want string
		status         int
	}{
		"loop":       {"/v2/app/blobs/again", "more than 10 redirects", http.StatusFound},
		"no target":  {"", "no Location", http.StatusFound},
		"not http":   {"ftp://host/x", "not http", http.StatusFound},
		"a file":     {"file:///etc/passwd", "not http", http.StatusFound},
		"nonsense":   {"http://[::1", "no address", http.StatusFound},
		"plain http": {"http://registry.example/x", "plain http with registry.example", http.StatusPermanentRedirect},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(c.status)
			})
			_, err := repository(t, newClient(t), s.host()).Fetch(t.Context(), describe([]byte("x")))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if n := s.count("GET"); n > maxRedirects+1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestRedirectOfUpload(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		want   string
	}{
		"kept":    {http.StatusTemporaryRedirect, ""},
		"changed": {http.StatusFound, "change the method"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodHead:
					w.WriteHeader(http.StatusNotFound)
				case r.Method == http.MethodPost:
					w.Header().Set("Location", "upload")
					w.WriteHeader(http.StatusAccepted)
				case strings.HasSuffix(r.URL.Path, "/upload"):
					http.Redirect(w, r, "/other", c.status)
				default:
					got, _ = io.ReadAll(r.Body)
					w.WriteHeader(http.StatusCreated)
				}
			})
			err := repository(t, newClient(t), s.host()).Push(t.Context(), describe([]byte("blob")), strings.NewReader("blob"))
			switch {
			case c.want == "" && (err != nil || string(got) != "blob"):
				t.Errorf("got %q, %v", got, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRedirectToPlainHTTP has a registry with TLS redirect to a server without, which even may be spoken to.
func TestRedirectToPlainHTTP(t *testing.T) {
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "blob") })
	s := &fake{}
	s.Server = httptest.NewTLSServer(s.watch(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/blob", http.StatusFound)
	}))
	t.Cleanup(s.Close)
	c := newClient(t)
	c.Transport = s.Client().Transport
	_, err := repository(t, c, s.host()).Fetch(t.Context(), describe([]byte("blob")))
	if err == nil || !strings.Contains(err.Error(), "from https to plain http") {
		t.Errorf("got %v", err)
	}
	if n := len(plain.asked()); n != 0 {
		t.Errorf("%d requests without TLS", n)
	}
}

// TestPlainHTTP says which hosts may do without TLS.
func TestPlainHTTP(t *testing.T) {
	c := &Client{PlainHTTP: []string{"named.example", "port.example:5000"}, Mirrors: map[string][]string{"docker.io": {"http://mirror.example:80/x", "tls.example"}}}
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1:5000": true, "127.9.9.9": true, "[::1]:5000": true, "named.example": true,
		"named.example:80": true, "port.example:5000": true, "mirror.example:80": true,
		"port.example": false, "port.example:80": false, "tls.example": false, "10.0.0.1:5000": false, "localhost.example": false, "docker.io": false, "": false,
	} {
		if got := c.plain(host); got != want {
			t.Errorf("%s: got %v", host, got)
		}
	}
}

// TestNeverPlain asks a registry that isn't allowed plain http: not one byte goes out without TLS.
func TestNeverPlain(t *testing.T) {
	var seen []string
	c := newClient(t)
	c.Retries = -1
	c.Transport = transport(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.URL.Scheme)
		return nil, fmt.Errorf("nobody there")
	})
	_ = tags(t.Context(), repository(t, c, "registry.example"))
	if len(seen) != 1 || seen[0] != "https" {
		t.Errorf("tried %q", seen)
	}
}

// transport is a transport that is a function.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip calls it.
func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestHub says where requests for Docker Hub go.
func TestHub(t *testing.T) {
	var seen []string
	c := newClient(t)
	c.Retries = -1
	c.Transport = transport(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.URL.String())
		return nil, fmt.Errorf("nobody there")
	})
	_ = tags(t.Context(), repository(t, c, "docker.io/library"))
	_, _ = c.Search(t.Context(), "docker.io", "busy box", 5)
	want := []string{"https://registry-1.docker.io/v2/library/app/tags/list?n=1000", "https://index.docker.io/v1/search?n=5&q=busy+box"}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %q", seen)
	}
}

func TestBackoff(t *testing.T) {
	for try := range 100 {
		full := min(firstWait<<min(try, 20), longestWait)
		if got := backoff(try); got > full || got <= full/2 {
			t.Errorf("try %d: %v, want at most %v and more than half", try, got, full)
		}
	}
}

func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		status     []int // of the answers, in order; then 200
		retryAfter string
		wantTries  int
		wantError  string
		wantWait   time.Duration // of the first wait, at least
	}{
		"at once":                  {nil, "", 1, "", 0},
		"once unavailable":         {[]int{503}, "", 2, "", firstWait / 2},
		"each that may pass":       {[]int{408, 429, 500, 502, 504}, "", 6, "", firstWait / 2},
		"asked to wait":            {[]int{429}, "7", 2, "", 7 * time.Second},
		"asked until a date":       {[]int{503}, "Fri, 02 Jan 2026 03:04:35 GMT", 2, "", 30 * time.Second},
		"asked for too long":       {[]int{429}, "3600", 1, "answers 429 too many requests; it wants to be left alone for a while (3600)", 0},
		"never better":             {[]int{503, 503, 503, 503, 503, 503, 503}, "", 6, "answers 503", 0},
		"not found is no accident": {[]int{404}, "", 1, "not found", 0},
		"denied neither":           {[]int{403}, "", 1, "log in as another: stave login", 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return
				}
				if n++; n <= len(c.status) {
					w.Header().Set("Retry-After", c.retryAfter)
					w.WriteHeader(c.status[n-1])
					return
				}
				fmt.Fprint(w, `{"tags":["a"]}`)
			})
			slept := &waits{}
			client := newClient(t)
			client.Sleep = slept.sleep
			client.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
			err := tags(t.Context(), repository(t, client, s.host()))
			if (err == nil) != (c.wantError == "") || err != nil && !strings.Contains(err.Error(), c.wantError) {
				t.Errorf("got %v, want %q", err, c.wantError)
			}
			if n != c.wantTries || len(slept.all) != c.wantTries-1 {
				t.Errorf("%d tries and waits of %v, want %d tries", n, slept.all, c.wantTries)
			}
			if len(slept.all) > 0 && slept.all[0] < c.wantWait {
				t.Errorf("waited %v, want at least %v", slept.all[0], c.wantWait)
			}
		})
	}
}

// TestConnectionErrors cuts the first connections.
func TestConnectionErrors(t *testing.T) {
	n := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		if n++; n <= 3 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{"tags":["a"]}`)
	})
	if err := tags(t.Context(), repository(t, newClient(t), s.host())); err != nil || n < 4 {
		t.Errorf("%d tries: %v", n, err)
	}
	c := newClient(t)
	c.Retries = -1
	n = 0
	if err := tags(t.Context(), repository(t, c, s.host())); err == nil {
		t.Error("a client that never tries again got through")
	}
}

func TestMirrors(t *testing.T) {
	text := []byte("blob")
	manifest, d := image(t, nil)
	handler := func(prefix string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v2/" + prefix + "app/blobs/" + describe(text).Digest.String():
				w.Write(text)
			case "/v2/" + prefix + "app/manifests/latest":
				w.Header().Set("Content-Type", d.MediaType)
				w.Header().Set("Docker-Content-Digest", d.Digest.String())
				w.Write(manifest)
			case "/v2/":
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}
	}
	full := serve(t, handler("hub/"))
	empty := serve(t, handler("nothing/"))
	down := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	lying := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "lie") })
	registry := serve(t, handler(""))
	for name, c := range map[string]struct {
		mirrors    []string
		wantMirror bool
		fromWhom   *fake
	}{
		"first mirror":  {[]string{full.host() + "/hub"}, true, full},
		"second mirror": {[]string{empty.host(), full.URL + "/hub/"}, true, full},
		"down":          {[]string{down.host()}, false, registry},
		"nothing there": {[]string{empty.host()}, false, registry},
		"wrong length":  {[]string{lying.host()}, false, registry},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t)
			client.Mirrors = map[string][]string{registry.host(): c.mirrors}
			r := repository(t, client, registry.host())
			before := len(c.fromWhom.asked())
			got, err := fetch(t.Context(), r, describe(text))
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, got, text)
			if found, err := r.Resolve(t.Context(), "latest"); err != nil || found.Digest != d.Digest {
				t.Errorf("resolve: %v, %v", found, err)
			}
			if len(c.fromWhom.asked()) <= before {
				t.Error("the bytes came from somewhere else")
			}
		})
	}
	for _, line := range full.asked() {
		if !strings.HasPrefix(line, "GET") && !strings.HasPrefix(line, "HEAD") {
			t.Errorf("a mirror was asked to %s", line)
		}
	}
}

// TestScheme asks servers with and without TLS on this machine, over a connection that fails at first.
func TestScheme(t *testing.T) {
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags":["a"]}`) })
	secure := &fake{}
	secure.Server = httptest.NewUnstartedServer(secure.watch(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"tags":["a"]}`) }))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // what it thinks of clients without TLS
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct {
		server *fake
		want   string
	}{"plain": {plain, "http"}, "secure": {secure, "https"}} {
		client := newClient(t)
		tries := 0
		through := c.server.Client().Transport
		client.Transport = transport(func(r *http.Request) (*http.Response, error) {
			if tries++; tries == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return through.RoundTrip(r)
		})
		e := endpoint{host: c.server.host()}
		client.scheme(t.Context(), e)
		for range 2 {
			if got := client.scheme(t.Context(), e); got != c.want {
				t.Errorf("%s: got %s", name, got)
			}
		}
		if err := tags(t.Context(), repository(t, client, c.server.host())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemeMismatch asks a server without TLS that isn't allowed to be one.
func TestSchemeMismatch(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t)
	c.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", plain.host())
	}, DisableKeepAlives: true}
	slept := &waits{}
	c.Sleep = slept.sleep
	err := tags(t.Context(), repository(t, c, "registry.example"))
	if !errors.Is(err, http.ErrSchemeMismatch) || !strings.Contains(err.Error(), "allow plain http with registry.example by name") || len(slept.all) > 0 {
		t.Errorf("got %v after waits of %v", err, slept.all)
	}
	c.PlainHTTP = []string{"registry.example"}
	if err := tags(t.Context(), repository(t, c, "registry.example")); err == nil || !strings.Contains(err.Error(), "read the answer") {
		t.Errorf("allowed: %v", err)
	}
}
