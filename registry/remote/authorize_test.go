// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stave/registry/credentials"
)

// tokens is a token service and a registry that wants its tokens. Each token is good for what it was asked for.
type tokens struct {
	*fake
	number  atomic.Int64
	forms   sync.Map     // by token: what it was asked for
	revoked atomic.Int64 // tokens up to this number are refused
	life    int          // in seconds
	refuse  func(r *http.Request) bool
	body    []byte // of the last upload
	forgets bool   // a token is refused once an upload was opened with it
}

// serveTokens starts both on one server.
func serveTokens(t *testing.T) *tokens {
	s := &tokens{life: 300, refuse: func(*http.Request) bool { return false }}
	s.fake = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			s.give(w, r)
			return
		}
		s.guard(w, r)
	})
	return s
}

// give is the token service.
func (s *tokens) give(w http.ResponseWriter, r *http.Request) {
	if s.refuse(r) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"details":"incorrect username or password"}`)
		return
	}
	r.ParseForm()
	n := s.number.Add(1)
	s.forms.Store(fmt.Sprint("t", n), r.Form)
	refresh := ""
	if r.Form.Get("offline_token") == "true" {
		refresh = fmt.Sprintf(`,"refresh_token":"refresh%d"`, n)
	}
	fmt.Fprintf(w, `{"token":"t%d","expires_in":%d%s}`, n, s.life, refresh)
}

// guard is the registry.
func (s *tokens) guard(w http.ResponseWriter, r *http.Request) {
	action := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		action = "pull,push"
	}
	scope := "repository:app:" + action
	value, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var n int64
	fmt.Sscanf(value, "t%d", &n)
	form, known := s.forms.Load(value)
	if !bearer || !known || n <= s.revoked.Load() || r.URL.Path != "/v2/" && !strings.Contains(strings.Join(form.(url.Values)["scope"], " "), scope) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="fake",scope="%s"`, s.URL, scope))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return
	}
	switch {
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPost:
		if s.forgets {
			s.revoked.Store(s.number.Load())
		}
		w.Header().Set("Location", "/v2/app/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		s.body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
	default:
		fmt.Fprint(w, `{"tags":["a"]}`)
	}
}

// tags lists the tags of a repository and returns the error, if any.
func tags(ctx context.Context, r *Repository) error {
	for _, err := range r.Tags(ctx) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestTokenIsKeptForItsScope(t *testing.T) {
	s := serveTokens(t)
	c := newClient(t)
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "secret"})
	r := repository(t, c, s.host())
	for range 3 {
		if err := tags(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	text := []byte("blob")
	if err := r.Push(t.Context(), describe(text), strings.NewReader("blob")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /v2/app/tags/list?n=1000",
		"GET /token?account=ann&scope=repository%3Aapp%3Apull&service=fake Basic YW5uOnNlY3JldA==",
		"GET /v2/app/tags/list?n=1000 Bearer t1", "GET /v2/app/tags/list?n=1000 Bearer t1", "GET /v2/app/tags/list?n=1000 Bearer t1",
		"HEAD /v2/app/blobs/" + describe(text).Digest.String() + " Bearer t1",
		"POST /v2/app/blobs/uploads/",
		"GET /token?account=ann&scope=repository%3Aapp%3Apull%2Cpush&service=fake Basic YW5uOnNlY3JldA==",
		"POST /v2/app/blobs/uploads/ Bearer t2",
		"PUT /v2/app/blobs/uploads/1?digest=" + url.QueryEscape(describe(text).Digest.String()) + " Bearer t2",
	}
	if diff := cmp.Diff(want, s.asked()); diff != "" {
		t.Error(diff)
	}
}

func TestTokenIsRenewed(t *testing.T) {
	s := serveTokens(t)
	c := newClient(t)
	now := time.Unix(1_000_000, 0)
	c.Now = func() time.Time { return now }
	r := repository(t, c, s.host())
	ask := func(wantTokens, wantRefusals int) {
		t.Helper()
		before := s.count("GET /v2/app/tags/list")
		if err := tags(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if got := s.number.Load(); got != int64(wantTokens) {
			t.Errorf("%d tokens were given, want %d", got, wantTokens)
		}
		if got := s.count("GET /v2/app/tags/list") - before - 1; got != wantRefusals {
			t.Errorf("%d requests were refused, want %d", got, wantRefusals)
		}
	}
	ask(1, 1)
	ask(1, 0)
	now = now.Add(295 * time.Second) // shortly before the end
	ask(2, 0)                        // renewed without a refusal first
	s.revoked.Store(2)
	ask(3, 1) // renewed after one
}

// TestTokenEndsInUpload has a token end before the bytes are sent: they are sent again, from the beginning.
func TestTokenEndsInUpload(t *testing.T) {
	s := serveTokens(t)
	s.forgets = true
	text := random(1 << 20)
	if err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s.body, text)
	if n := s.count("PUT"); n != 2 {
		t.Errorf("%d PUT", n)
	}
}

func TestManyAskForOneToken(t *testing.T) {
	s := serveTokens(t)
	r := repository(t, newClient(t), s.host())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := tags(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.number.Load(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
}

func TestIdentityToken(t *testing.T) {
	s := serveTokens(t)
	c := newClient(t)
	c.Credentials = user(credentials.Credential{IdentityToken: "refresh"})
	if err := tags(t.Context(), repository(t, c, s.host())); err != nil {
		t.Fatal(err)
	}
	if s.count("POST /token") != 1 {
		t.Errorf("asked: %q", s.asked())
	}
	form, _ := s.forms.Load("t1")
	want := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"refresh"}, "client_id": {"stave"}, "service": {"fake"}, "scope": {"repository:app:pull"}}
	if diff := cmp.Diff(want, form.(url.Values)); diff != "" {
		t.Error(diff)
	}
}

func TestBasic(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "ann" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"tags":[]}`)
	})
	c := newClient(t)
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "secret"})
	r := repository(t, c, s.host())
	for range 2 {
		if err := tags(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count("GET /v2/app"); n != 3 { // only the first is refused
		t.Errorf("asked: %q", s.asked())
	}
	c = newClient(t)
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "wrong"})
	err := tags(t.Context(), repository(t, c, s.host()))
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "doesn't accept this user") || !strings.Contains(err.Error(), "stave login "+s.host()) {
		t.Errorf("wrong password: %v", err)
	}
	err = tags(t.Context(), repository(t, newClient(t), s.host()))
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "stave login "+s.host()) {
		t.Errorf("no password: %v", err)
	}
}

func TestTokenRefused(t *testing.T) {
	s := serveTokens(t)
	s.refuse = func(*http.Request) bool { return true }
	c := newClient(t)
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "wrong"})
	err := tags(t.Context(), repository(t, c, s.host()))
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "incorrect username or password") || !strings.Contains(err.Error(), "stave login "+s.host()) {
		t.Errorf("got %v", err)
	}
	if n := s.count("GET /token"); n != 1 {
		t.Errorf("%d tries", n)
	}
}

// TestTokenThatIsNotEnough has a registry that refuses even what its own token service gave: no endless loop.
func TestTokenThatIsNotEnough(t *testing.T) {
	s := serveTokens(t)
	s.revoked.Store(1 << 40)
	err := tags(t.Context(), repository(t, newClient(t), s.host()))
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("got %v", err)
	}
	if n := len(s.asked()); n != 3 {
		t.Errorf("asked: %q", s.asked())
	}
}

func TestRealm(t *testing.T) {
	for name, c := range map[string]struct{ realm, want string }{
		"none":       {"", "names no token service"},
		"no address": {"token", "names no token service"},
		"a file":     {"file:///etc/passwd", "names no token service"},
		"plain http": {"http://auth.example/token", "plain http"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+c.realm+`"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			client := newClient(t)
			client.Credentials = user(credentials.Credential{Username: "ann", Password: "secret"})
			if err := tags(t.Context(), repository(t, client, s.host())); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestRealmWithoutTLS has a registry with TLS send its users to a token service without.
func TestRealmWithoutTLS(t *testing.T) {
	service := serve(t, func(http.ResponseWriter, *http.Request) {})
	s := &fake{}
	s.Server = httptest.NewTLSServer(s.watch(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+service.URL+`/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(s.Close)
	c := newClient(t)
	c.Transport = s.Client().Transport
	c.Credentials = user(credentials.Credential{Username: "ann", Password: "secret"})
	err := tags(t.Context(), repository(t, c, s.host()))
	if err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("got %v", err)
	}
	if asked := service.asked(); len(asked) != 0 {
		t.Errorf("the service was asked: %q", asked)
	}
}

func TestCredentialsFail(t *testing.T) {
	s := serveTokens(t)
	c := newClient(t)
	broken := errors.New("helper is broken")
	c.Credentials = func(context.Context, string) (credentials.Credential, error) { return credentials.Credential{}, broken }
	if err := tags(t.Context(), repository(t, c, s.host())); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if n := s.count("GET /v2/app"); n != 1 {
		t.Errorf("%d tries", n)
	}
}

func TestLogin(t *testing.T) {
	s := serveTokens(t)
	s.refuse = func(r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		return password != "secret"
	}
	kept, err := newClient(t).Login(t.Context(), s.host(), credentials.Credential{Username: "ann", Password: "secret"})
	want := credentials.Credential{Username: "ann", Password: "secret", IdentityToken: "refresh1"}
	if err != nil || kept != want {
		t.Errorf("got %+v, %v", kept, err)
	}
	if n := s.count("GET /v2/ Bearer t1"); n != 1 {
		t.Errorf("the token was not tried: %q", s.asked())
	}
	_, err = newClient(t).Login(t.Context(), s.host(), credentials.Credential{Username: "ann", Password: "wrong"})
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "incorrect username or password") {
		t.Errorf("wrong password: %v", err)
	}
	open := serve(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := newClient(t).Login(t.Context(), open.host(), want); err != nil {
		t.Errorf("open registry: %v", err)
	}
}
