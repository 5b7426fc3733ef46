// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"stave/registry/credentials"
)

// Login asks a registry whether it knows a user, and returns what to keep of it: the credential, or an identity token that
// the registry gave in exchange for the password.
func (c *Client) Login(ctx context.Context, host string, credential credentials.Credential) (credentials.Credential, error) {
	kept, err := c.login(ctx, host, credential)
	if err != nil {
		return credentials.Credential{}, fmt.Errorf("log in to %s: %w", host, err)
	}
	return kept, nil
}

// login sends a request without a credential, answers the challenge, and sees whether that is accepted.
func (c *Client) login(ctx context.Context, host string, credential credentials.Credential) (credentials.Credential, error) {
	e := upstream(host)
	q := &request{method: http.MethodGet, url: c.url(ctx, e, "", nil), where: e, tries: c.retries()}
	response, err := c.do(ctx, q)
	if err != nil {
		return credential, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		drain(response)
		return credential, nil // it lets everybody in
	case http.StatusUnauthorized:
	default:
		return credential, failed(q, response)
	}
	if !sameHost(response.Request.URL, q.url) {
		return credential, failed(q, response) // whoever the registry redirected to may not ask for the password
	}
	challenges := parseChallenges(response.Header.Values("WWW-Authenticate"))
	drain(response)
	bearer := slices.IndexFunc(challenges, func(c challenge) bool { return c.scheme == "bearer" })
	switch {
	case bearer >= 0 && credential.RegistryToken != "":
		q.fixed = "Bearer " + credential.RegistryToken
	case bearer >= 0:
		t, err := c.token(ctx, e, q.url.Scheme, challenges[bearer], nil, credential, true)
		if err != nil {
			return credential, err
		}
		credential.IdentityToken = orElse(t.refresh, credential.IdentityToken)
		q.fixed = "Bearer " + t.value
	case slices.ContainsFunc(challenges, func(c challenge) bool { return c.scheme == "basic" }):
		q.fixed = basic(credential)
	default:
		return credential, errors.New("the registry wants to know its user in a way that is neither a password nor a token")
	}
	response, err = c.do(ctx, q)
	if err != nil {
		return credential, err
	}
	if response.StatusCode != http.StatusOK {
		return credential, failed(q, response)
	}
	drain(response)
	return credential, nil
}
