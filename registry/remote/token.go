// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"stave/registry/credentials"
)

// token is what a token service gave.
type token struct {
	value   string
	refresh string // may be exchanged for further tokens
	expires time.Time
}

// The limits of what a token service may answer, and of how long its tokens are kept.
const (
	maxAnswer   = 1 << 20
	maxToken    = 64 << 10
	leastLife   = time.Minute // what the protocol assumes where nothing is said
	longestLife = time.Hour
)

// token gets a token from the service that a challenge names: with a password by GET, with an identity token by POST (OAuth
// 2). Offline asks for an identity token as well.
func (c *Client) token(ctx context.Context, where endpoint, scheme string, asked challenge, scopes []string, credential credentials.Credential, offline bool) (token, error) {
	realm, err := url.Parse(asked.parameters["realm"])
	if err != nil || realm.Host == "" || realm.Scheme != "https" && realm.Scheme != "http" {
		return token{}, fmt.Errorf("%w: %s names no token service: realm %s", errRefused, where.host, printable(fmt.Sprintf("%q", asked.parameters["realm"]), 200))
	}
	if scheme == "https" && realm.Scheme != "https" {
		return token{}, fmt.Errorf("%w: %s names a token service without TLS: %s", errRefused, where.host, printable(address(realm), 200))
	}
	realm.User, realm.Fragment = nil, ""
	q := &request{method: http.MethodGet, url: realm, where: where, header: http.Header{"Accept": {"application/json"}}, tries: c.retries()}
	if credential.IdentityToken != "" {
		oauth(q, asked.parameters["service"], scopes, credential)
	} else {
		exchange(q, asked.parameters["service"], scopes, credential, offline)
	}
	response, err := c.do(ctx, q)
	if err != nil {
		return token{}, fmt.Errorf("get a token for %s: %w", where.registry, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		answer := newError(response)
		answer.login, answer.refused, answer.token = where.registry, !credential.Empty(), true
		return token{}, fmt.Errorf("get a token for %s: %w", where.registry, answer)
	}
	text, err := readAll(response.Body, maxAnswer)
	if err != nil {
		return token{}, fmt.Errorf("get a token for %s: %w", where.registry, err)
	}
	t, err := parseToken(text, c.now())
	if err != nil {
		return token{}, fmt.Errorf("get a token for %s from %s: %w", where.registry, realm.Host, err)
	}
	return t, nil
}

// exchange asks for a token with a password, or without.
func exchange(q *request, service string, scopes []string, credential credentials.Credential, offline bool) {
	query := q.url.Query()
	if service != "" {
		query.Set("service", service)
	}
	for _, scope := range scopes {
		query.Add("scope", scope)
	}
	if offline {
		query.Set("offline_token", "true")
		query.Set("client_id", "stave")
	}
	if credential.Username != "" {
		query.Set("account", credential.Username)
		q.fixed = basic(credential)
	}
	q.url.RawQuery = query.Encode()
}

// oauth asks for a token with an identity token.
func oauth(q *request, service string, scopes []string, credential credentials.Credential) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {credential.IdentityToken},
		"client_id":     {"stave"},
		"service":       {service},
		"scope":         {strings.Join(scopes, " ")},
	}.Encode()
	q.method, q.secret = http.MethodPost, true
	q.header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.body, q.size = func() (io.Reader, error) { return strings.NewReader(form), nil }, int64(len(form))
}

// parseToken reads what a token service answers:
//
//	{"token": "…", "access_token": "…", "expires_in": 300, "issued_at": "2026-01-02T15:04:05Z", "refresh_token": "…"}
func parseToken(text []byte, now time.Time) (token, error) {
	var answer struct {
		Token   string  `json:"token"`
		Access  string  `json:"access_token"`
		Refresh string  `json:"refresh_token"`
		Life    float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return token{}, fmt.Errorf("%w: the token service doesn't answer as one: %w", errRefused, err)
	}
	value := orElse(answer.Token, answer.Access)
	if value == "" || len(value) > maxToken || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return token{}, fmt.Errorf("%w: the token service gives no token that could be sent", errRefused)
	}
	// When a token was issued by the clock of another machine is of no use here: it counts from now.
	life := leastLife
	if answer.Life > leastLife.Seconds() {
		life = time.Duration(min(answer.Life, longestLife.Seconds())) * time.Second
	}
	return token{value: value, refresh: answer.Refresh, expires: now.Add(life - early)}, nil
}
