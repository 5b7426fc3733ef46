// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"stave/registry/credentials"
)

// early is how long before its end a token is renewed.
const early = 10 * time.Second

// session is what authorizes requests to one host with one scope.
type session struct {
	turn      chan struct{} // has room for one: who asks for a token
	header    string        // Authorization, or nothing
	expires   time.Time     // of a token; zero if it doesn't
	challenge *challenge    // that was answered with it
}

// session returns the session for a request.
func (c *Client) session(q *request) *session {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return remember(&c.sessions, q.where.host+" "+q.scope, func() *session { return &session{turn: make(chan struct{}, 1)} })
}

// lock waits for one's turn with a session.
func (s *session) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unlock lets the next one have its turn.
func (s *session) unlock() { <-s.turn }

// authorized sends a request with what its session has, and once more when the server wants something else.
func (c *Client) authorized(ctx context.Context, q *request) (*http.Response, error) {
	if q.fixed != "" || q.scope == "" {
		return c.follow(ctx, q, q.fixed)
	}
	s := c.session(q)
	header, err := c.current(ctx, q, s)
	if err != nil {
		return nil, err
	}
	response, err := c.follow(ctx, q, header)
	if err != nil || response.StatusCode != http.StatusUnauthorized || !sameHost(response.Request.URL, q.url) {
		return response, err
	}
	renewed, err := c.renew(ctx, q, s, header, parseChallenges(response.Header.Values("WWW-Authenticate")))
	if err != nil {
		drain(response)
		return nil, err
	}
	if renewed == header {
		return response, nil // there is nothing else to say
	}
	drain(response)
	return c.follow(ctx, q, renewed)
}

// current is what a session has, with a token that is still good.
func (c *Client) current(ctx context.Context, q *request, s *session) (string, error) {
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	if s.header == "" || s.expires.IsZero() || c.now().Before(s.expires) {
		return s.header, nil
	}
	err := c.answer(ctx, q, s, *s.challenge)
	return s.header, err
}

// renew answers a challenge, unless somebody else did since the refused header was sent.
func (c *Client) renew(ctx context.Context, q *request, s *session, refused string, challenges []challenge) (string, error) {
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	defer s.unlock()
	if s.header != refused {
		return s.header, nil
	}
	for _, scheme := range []string{"bearer", "basic"} {
		i := slices.IndexFunc(challenges, func(c challenge) bool { return c.scheme == scheme })
		if i >= 0 {
			err := c.answer(ctx, q, s, challenges[i])
			return s.header, err
		}
	}
	return refused, nil
}

// answer answers a challenge with a password or a token. The caller has its turn.
func (c *Client) answer(ctx context.Context, q *request, s *session, asked challenge) error {
	credential, err := c.credential(ctx, q)
	if err != nil {
		return err
	}
	if asked.scheme == "basic" {
		if credential.Username != "" && credential.Password != "" {
			s.header, s.expires = basic(credential), time.Time{}
		}
		return nil
	}
	s.challenge = &asked
	if credential.RegistryToken != "" {
		s.header, s.expires = "Bearer "+credential.RegistryToken, time.Time{}
		return nil
	}
	t, err := c.token(ctx, q.where, q.url.Scheme, asked, scopes(q.scope, asked.parameters["scope"]), credential, false)
	if err != nil {
		return err
	}
	s.header, s.expires = "Bearer "+t.value, t.expires
	return nil
}

// credential finds what the user of a registry has to say.
func (c *Client) credential(ctx context.Context, q *request) (credentials.Credential, error) {
	if c.Credentials == nil {
		return credentials.Credential{}, nil
	}
	name := q.where.registry
	scope, _, _ := strings.Cut(q.scope, " ") // the first is the one that it is about
	if part := strings.Split(scope, ":"); len(part) == 3 && part[0] == "repository" {
		name += "/" + part[1]
	}
	credential, err := c.Credentials(ctx, name)
	if err != nil {
		return credential, &localError{fmt.Errorf("find the credential for %s: %w", q.where.registry, err)}
	}
	return credential, nil
}

// localError is an error of this machine: no other try helps.
type localError struct{ error }

// Unwrap returns the error itself.
func (e *localError) Unwrap() error { return e.error }

// basic is a header with a password (RFC 7617).
func basic(c credentials.Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password))
}

// scopes joins what is wanted with what the server names, each of which may be several, apart by blanks.
func scopes(wanted ...string) []string {
	var all []string
	for scope := range strings.FieldsSeq(strings.Join(wanted, " ")) {
		if !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	return all
}

// readAll reads an answer that may have up to limit bytes.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%w: the answer has more than %d bytes", errRefused, limit)
	}
	return text, err
}
