// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// lifetime is how long a token is good. Clients get a new one when theirs is too old.
const lifetime = 5 * time.Minute

// maxScopes is how many scopes a token may have; a client asks for two at most.
const maxScopes = 50

// claims are what a token says.
type claims struct {
	User    string  `json:"user"`
	Scopes  []scope `json:"scopes"`
	Expires int64   `json:"expires"` // seconds since 1970
}

// tokens writes and reads tokens: claims in JSON and their keyed hash, both in base64, with a dot between. The key is made
// anew at each start.
type tokens struct{ key []byte }

// newTokens makes a key.
func newTokens() (tokens, error) {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	return tokens{key}, err
}

// seal is the keyed hash of a payload.
func (t tokens) seal(payload string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(payload))
	return mac.Sum(nil)
}

// make writes a token.
func (t tokens) make(c claims) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	payload := base64.RawURLEncoding.EncodeToString(text)
	return payload + "." + base64.RawURLEncoding.EncodeToString(t.seal(payload)), nil
}

// open reads a token, if this server has made it and it is not too old.
func (t tokens) open(token string) (claims, error) {
	var c claims
	payload, mac, _ := strings.Cut(token, ".")
	given, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(given, t.seal(payload)) {
		return c, errors.New("the token is none of this registry's, or from before its start")
	}
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && time.Now().Unix() >= c.Expires {
		err = errors.New("the token is too old")
	}
	return c, err
}

// serveToken is /token: a token for a name and password. GET brings them as basic authentication, POST in a form (OAuth 2, RFC 6749, "password").
func (s *Server) serveToken(w *tap, r *http.Request) {
	if err := s.giveToken(w, r); err != nil {
		a := answer(err)
		a.write(w)
		if a.status >= http.StatusInternalServerError {
			s.problem(err)
		}
	}
}

// giveToken answers a request for a token.
func (s *Server) giveToken(w *tap, r *http.Request) error {
	if !s.o.Tokens {
		return notFound("this registry gives no tokens")
	}
	var user string
	var ok bool
	var wanted []string
	switch r.Method {
	case http.MethodGet:
		user, ok = s.basic(r)
		wanted = r.URL.Query()["scope"]
	case http.MethodPost:
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // as for any body
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if err := r.ParseForm(); err != nil {
			return &refusal{http.StatusBadRequest, codeUnsupported, "the form is invalid"}
		}
		if kind := r.PostForm.Get("grant_type"); kind != "password" {
			return &refusal{http.StatusBadRequest, codeUnsupported, "the grant_type " + quote(kind) + " is none of this registry's: use password"}
		}
		user = r.PostForm.Get("username")
		ok = s.o.Accounts.check(user, r.PostForm.Get("password"))
		wanted = r.PostForm["scope"]
	default:
		w.Header().Set("Allow", "GET, POST")
		return unsupported("the method " + quote(r.Method) + " is not for /token")
	}
	if !ok {
		return challenge(w, basicChallenge, "name and password are wrong or missing: log in")
	}
	w.user = user
	now := time.Now()
	token, err := s.tokens.make(claims{user, s.grant(wanted), now.Add(lifetime).Unix()})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return send(w, "application/json", map[string]any{
		"token": token, "access_token": token, "expires_in": int(lifetime.Seconds()), "issued_at": now.UTC().Format(time.RFC3339),
	})
}

// grant is what a token for some scopes is good for. Every account may do everything; what is no scope of this registry is left
// out, as the specification has it.
func (s *Server) grant(wanted []string) []scope {
	granted := []scope{}
	for text := range strings.FieldsSeq(strings.Join(wanted, " ")) {
		sc, ok := parseScope(text)
		known := []string{actionPull, actionPush, actionDelete}
		if sc.Type == typeRegistry {
			known = []string{actionAll}
		} else if slices.Contains(sc.Actions, actionAll) {
			sc.Actions = known
		}
		sc.Actions = slices.DeleteFunc(sc.Actions, func(a string) bool { return !slices.Contains(known, a) })
		if s.o.ReadOnly && sc.Type == typeRepository {
			sc.Actions = slices.DeleteFunc(sc.Actions, func(a string) bool { return a != actionPull })
		}
		valid := sc.Type == typeRepository && checkName(sc.Name) == nil || sc.Type == typeRegistry && sc.Name == "catalog"
		if ok && valid && len(sc.Actions) > 0 && len(granted) < maxScopes {
			granted = append(granted, sc)
		}
	}
	return granted
}
