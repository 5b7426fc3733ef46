// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/crypto/bcrypt"
)

// accounts writes an htpasswd file with one account for each "NAME:PASSWORD".
func accounts(t *testing.T, file string, all ...string) *Accounts {
	t.Helper()
	var text strings.Builder
	for _, one := range all {
		name, password, _ := strings.Cut(one, ":")
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + ":" + string(hash) + "\n")
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := OpenAccounts(file, func(err error) { t.Logf("accounts: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// login is the header of a name and password.
func login(account string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(account))
}

// TestBasic shows right and wrong passwords.
func TestBasic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	r := start(t, Options{Accounts: accounts(t, file, "bob:secret", "eve:other:with colon")})
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/x", "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef"} {
		got := r.want(401, codeUnauthorized, "GET", path, "")
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Basic realm="`) {
			t.Errorf("%s: %v", path, got.header)
		}
	}
	r.want(401, codeUnauthorized, "PUT", "/v2/a/manifests/x", "{}", isImage)
	r.want(401, codeUnauthorized, "DELETE", "/v2/a/manifests/x", "", login("bob:wrong"))
	for account, status := range map[string]int{
		"bob:secret": 200, "eve:other:with colon": 200, "bob:other": 401, "bob:": 401, "Bob:secret": 401, ":": 401, ":secret": 401, "nobody:secret": 401, "bob:secret\n": 401,
	} {
		for range 2 { // the second time from memory
			if got := r.do("GET", "/v2/", "", login(account)); got.status != status {
				t.Errorf("%q: %d, want %d", account, got.status, status)
			}
		}
	}
	r.want(200, "", "GET", "/healthz", "")
	r.want(200, "", "GET", "/metrics", "")
	r.want(401, "", "GET", "/", "")
	r.want(200, "", "GET", "/", "", login("bob:secret"))
	r.want(404, codeUnsupported, "GET", "/token", "")
}

// TestAccountsChange changes the file under a server that has remembered a password, breaks it, and takes it away.
func TestAccountsChange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "htpasswd")
	r := start(t, Options{Accounts: accounts(t, file, "bob:secret")})
	r.want(200, "", "GET", "/v2/", "", login("bob:secret"))
	accounts(t, file, "bob:changed", "eve:new")
	r.want(401, "", "GET", "/v2/", "", login("bob:secret"))
	r.want(200, "", "GET", "/v2/", "", login("bob:changed"))
	r.want(200, "", "GET", "/v2/", "", login("eve:new"))
	problems := 0
	r.server.o.Accounts.problem = func(error) { problems++ }
	if err := os.WriteFile(file, []byte("bob:{SHA}plain"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.want(200, "", "GET", "/v2/", "", login("bob:changed"))
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.want(200, "", "GET", "/v2/", "", login("bob:changed"))
	}
	if problems != 2 {
		t.Errorf("%d problems told, want one for each change", problems)
	}
	accounts(t, file, "eve:new")
	r.want(401, "", "GET", "/v2/", "", login("bob:changed"))
}

// TestParseAccounts reads htpasswd files.
func TestParseAccounts(t *testing.T) {
	const hash = "$2y$05$sLMjTVDzbQXOw0ZqhC9ZDuYVTkHYTrt3nTnzvY9mCq8gTuzbpfUNm"
	got, err := parseAccounts([]byte("# a comment\n\n bob:" + hash + " \neve:" + hash))
	if diff := cmp.Diff(map[string][]byte{"bob": []byte(hash), "eve": []byte(hash)}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for text, says := range map[string]string{
		"bob":                      "line 1 is not of the form",
		"x:" + hash + "\n:" + hash: "line 2 is not of the form",
		"bob:{SHA}xxx":             "htpasswd -B",
		"bob:$apr1$a$b":            `"bob"`,
		"bob:" + hash[:20]:         "bcrypt",
		strings.Repeat("x", 1e6):   "too long",
	} {
		if _, err := parseAccounts([]byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %s", text, err, says)
		}
	}
}

// token asks for a token and fails the test if there is none.
func (r remote) token(account string, scopes ...string) string {
	r.t.Helper()
	got := r.want(200, "", "GET", "/token?service=stave&"+url.Values{"scope": scopes}.Encode(), "", login(account))
	var t struct {
		Token, AccessToken string
		ExpiresIn          int `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(got.body), &t); err != nil || t.Token == "" || t.ExpiresIn < 60 {
		r.t.Fatalf("token: %s %v", got.body, err)
	}
	return "Authorization: Bearer " + t.Token
}

// TestTokens follows the challenge as clients do, and tries tokens for other things.
func TestTokens(t *testing.T) {
	r := start(t, Options{Accounts: accounts(t, filepath.Join(t.TempDir(), "htpasswd"), "bob:secret"), Tokens: true})
	got := r.want(401, codeUnauthorized, "GET", "/v2/a/b/tags/list", "")
	if want := `Bearer realm="` + r.url + `/token",service="stave",scope="repository:a/b:pull"`; got.header.Get("WWW-Authenticate") != want {
		t.Errorf("the challenge is %s, want %s", got.header.Get("WWW-Authenticate"), want)
	}
	if got := r.do("POST", "/v2/a/blobs/uploads/", ""); !strings.Contains(got.header.Get("WWW-Authenticate"), `scope="repository:a:pull,push"`) {
		t.Errorf("%v", got)
	}
	if got := r.do("GET", "/v2/", "", "X-Forwarded-Proto: https"); !strings.Contains(got.header.Get("WWW-Authenticate"), `realm="https://`) {
		t.Errorf("behind a proxy: %v", got)
	}
	r.want(401, codeUnauthorized, "GET", "/token", "")
	r.want(401, codeUnauthorized, "GET", "/token", "", login("bob:wrong"))
	r.want(401, codeUnauthorized, "GET", "/v2/", "", login("bob:secret")) // a password alone is for /token
	pull, push := r.token("bob:secret", "repository:a:pull"), r.token("bob:secret", "repository:a:pull,push repository:b:pull")
	all := r.token("bob:secret", "repository:a:*", "registry:catalog:*")
	r.want(200, "", "GET", "/v2/", "", pull)
	r.want(200, "", "GET", "/v2/", "", r.token("bob:secret"))
	r.want(404, codeNameUnknown, "GET", "/v2/a/tags/list", "", pull)
	for _, refused := range []struct{ method, path, token string }{
		{"POST", "/v2/a/blobs/uploads/", pull},
		{"GET", "/v2/b/tags/list", pull},
		{"GET", "/v2/a/b/tags/list", pull},
		{"GET", "/v2/_catalog", push},
		{"DELETE", "/v2/a/manifests/x", push},
		{"PUT", "/v2/b/manifests/x", push},
		{"GET", "/v2/a/tags/list", r.token("bob:secret", "repository:A/../a:pull", "x", "repository:a", "registry:a:pull")},
	} {
		got := r.want(401, codeUnauthorized, refused.method, refused.path, "", refused.token)
		if !strings.Contains(got.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
			t.Errorf("%v", got.header)
		}
	}
	r.want(202, "", "POST", "/v2/a/blobs/uploads/", "", push)
	r.want(200, "", "GET", "/v2/_catalog", "", all)
	r.want(404, codeNameUnknown, "DELETE", "/v2/a/manifests/x", "", all)
	form := url.Values{"grant_type": {"password"}, "username": {"bob"}, "password": {"secret"}, "scope": {"repository:a:pull"}, "service": {"stave"}}
	got = r.want(200, "", "POST", "/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
	if !strings.Contains(got.body, `"access_token"`) || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", got)
	}
	form.Set("password", "wrong")
	r.want(401, codeUnauthorized, "POST", "/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
	form.Set("grant_type", "refresh_token")
	r.want(400, codeUnsupported, "POST", "/token", form.Encode(), "Content-Type: application/x-www-form-urlencoded")
	r.want(405, codeUnsupported, "PUT", "/token", "")
}

// TestMountNeedsRight mounts from a repository that the token is not good for.
func TestMountNeedsRight(t *testing.T) {
	r := start(t, Options{Accounts: accounts(t, filepath.Join(t.TempDir(), "htpasswd"), "bob:secret"), Tokens: true, MountAny: true})
	d := digest.FromString("layer").String()
	r.want(201, "", "POST", "/v2/a/blobs/uploads/?digest="+d, "layer", r.token("bob:secret", "repository:a:pull,push"))
	alone, both := r.token("bob:secret", "repository:b:pull,push"), r.token("bob:secret", "repository:b:pull,push", "repository:a:pull")
	r.want(202, "", "POST", "/v2/b/blobs/uploads/?mount="+d+"&from=a", "", alone)
	r.want(202, "", "POST", "/v2/b/blobs/uploads/?mount="+d, "", alone)
	r.want(404, codeBlobUnknown, "GET", "/v2/b/blobs/"+d, "", both)
	r.want(201, "", "POST", "/v2/b/blobs/uploads/?mount="+d+"&from=a", "", both)
}

// TestForgedTokens changes tokens, and waits for one to be too old.
func TestForgedTokens(t *testing.T) {
	one, err := newTokens()
	if err != nil {
		t.Fatal(err)
	}
	other, err := newTokens()
	if err != nil {
		t.Fatal(err)
	}
	c := claims{User: "bob", Expires: time.Now().Add(time.Hour).Unix()}
	good, err := one.make(c)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := one.open(good); err != nil || got.User != "bob" {
		t.Errorf("%v %v", got, err)
	}
	c.Expires = time.Now().Unix()
	old, err := one.make(c)
	if err != nil {
		t.Fatal(err)
	}
	payload, seal, _ := strings.Cut(good, ".")
	for name, token := range map[string]string{
		"old": old, "empty": "", "no seal": payload, "empty seal": payload + ".", "other payload": payload + "A." + seal, "unsigned": payload + "." + seal[1:], "twice": good + "." + seal,
	} {
		if got, err := one.open(token); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, err := other.open(good); err == nil {
		t.Errorf("of another server: %v", got)
	}
}

// FuzzToken looks for a token that a server takes though it has not made it.
func FuzzToken(f *testing.F) {
	key := tokens{key: []byte("key")}
	good, err := key.make(claims{User: "bob"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(".")
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := key.open(token); err == nil {
			t.Errorf("%q is taken: %v", token, c)
		}
	})
}

// FuzzAccounts reads htpasswd files.
func FuzzAccounts(f *testing.F) {
	f.Add([]byte("bob:$2y$05$sLMjTVDzbQXOw0ZqhC9ZDuYVTkHYTrt3nTnzvY9mCq8gTuzbpfUNm\n# x\n"))
	f.Add([]byte(":\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseAccounts(text)
		for name := range all {
			if err == nil && (name == "" || strings.ContainsAny(name, ":\n")) {
				t.Errorf("the name %q", name)
			}
		}
	})
}

// FuzzScope understands scopes.
func FuzzScope(f *testing.F) {
	f.Add("repository:localhost:5000/a:pull,push")
	f.Add("registry:catalog:*")
	f.Fuzz(func(t *testing.T, text string) {
		s := &Server{}
		for _, got := range s.grant([]string{text}) {
			if got.Type == typeRepository && checkName(got.Name) != nil || len(got.Actions) == 0 {
				t.Errorf("%q grants %v", text, got)
			}
		}
	})
}
