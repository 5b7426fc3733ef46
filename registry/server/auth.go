// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The actions that a scope can have, in the words of the token authentication specification.
const (
	actionPull   = "pull"
	actionPush   = "push"
	actionDelete = "delete"
	actionAll    = "*"
)

// The types of a scope.
const (
	typeRepository = "repository"
	typeRegistry   = "registry"
)

// service is the name that the server has in its own tokens.
const service = "stave"

// basicChallenge asks for a name and password (RFC 7617).
const basicChallenge = `Basic realm="stave registry", charset="UTF-8"`

// scope is what a token is good for: actions on a thing.
type scope struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// String writes a scope as TYPE:NAME:ACTION,ACTION.
func (s scope) String() string { return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",") }

// parseScope understands a scope. The name may have colons.
func parseScope(text string) (scope, bool) {
	kind, rest, first := strings.Cut(text, ":")
	cut := strings.LastIndexByte(rest, ':')
	if !first || cut < 0 {
		return scope{}, false
	}
	return scope{kind, rest[:cut], strings.Split(rest[cut+1:], ",")}, true
}

// required is the scope that a request needs, and whether it needs one.
func required(c *call, method string) (scope, bool) {
	repository := func(actions ...string) (scope, bool) { return scope{typeRepository, c.route.name, actions}, true }
	switch {
	case c.route.kind == base:
		return scope{}, false
	case c.route.kind == catalog:
		return scope{typeRegistry, "catalog", []string{actionAll}}, true
	case c.route.kind == uploads || c.route.kind == session || method == http.MethodPut:
		return repository(actionPull, actionPush)
	case method == http.MethodDelete:
		return repository(actionDelete)
	}
	return repository(actionPull)
}

// authorize finds out who makes a request, and refuses what he may not.
func (s *Server) authorize(w *tap, c *call, method string) error {
	c.may = func(string, string) bool { return true }
	if s.o.Accounts == nil {
		return nil
	}
	if !s.o.Tokens {
		user, ok := s.basic(c.r)
		if !ok {
			return challenge(w, basicChallenge, "name and password are wrong or missing: log in")
		}
		w.user = user
		return nil
	}
	need, needs := required(c, method)
	token, given := bearer(c.r)
	claims, err := s.tokens.open(token)
	switch {
	case !given:
		return challenge(w, s.bearerChallenge(c.r, need, needs, ""), "a token is missing: log in")
	case err != nil:
		return challenge(w, s.bearerChallenge(c.r, need, needs, "invalid_token"), err.Error())
	case needs && !claims.allows(need):
		return challenge(w, s.bearerChallenge(c.r, need, needs, "insufficient_scope"), "the token is not good for "+need.String())
	}
	w.user = claims.User
	c.may = func(name, action string) bool { return claims.allows(scope{typeRepository, name, []string{action}}) }
	return nil
}

// challenge refuses a request and says how to make it better (RFC 9110, "WWW-Authenticate").
func challenge(w http.ResponseWriter, how, message string) error {
	w.Header().Set("WWW-Authenticate", how)
	return &refusal{http.StatusUnauthorized, codeUnauthorized, message}
}

// bearerChallenge names the place that gives tokens. It is under the address that the client used itself, so it is right behind a
// proxy, too, as long as that passes the name on.
func (s *Server) bearerChallenge(r *http.Request, need scope, needs bool, problem string) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	host := strings.Map(func(c rune) rune {
		if c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return -1
		}
		return c
	}, r.Host)
	text := fmt.Sprintf(`Bearer realm="%s://%s/token",service="%s"`, scheme, host, service)
	if needs {
		text += fmt.Sprintf(`,scope="%s"`, need)
	}
	if problem != "" {
		text += fmt.Sprintf(`,error="%s"`, problem)
	}
	return text
}

// basic checks the name and password of a request (RFC 7617).
func (s *Server) basic(r *http.Request) (user string, ok bool) {
	user, password, given := r.BasicAuth()
	return user, given && s.o.Accounts.check(user, password)
}

// bearer is the token of a request (RFC 6750).
func bearer(r *http.Request) (string, bool) {
	kind, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), found && strings.EqualFold(kind, "Bearer")
}

// allows tells whether a token is good for all of a scope.
func (c claims) allows(need scope) bool {
	for _, action := range need.Actions {
		if !slices.ContainsFunc(c.Scopes, func(s scope) bool {
			return s.Type == need.Type && s.Name == need.Name && slices.Contains(s.Actions, action)
		}) {
			return false
		}
	}
	return true
}
