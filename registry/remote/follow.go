// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxRedirects is how many redirects a request may go through.
const maxRedirects = 10

// errRefused says that the client will not do what a server asks of it; trying again would not help.
var errRefused = errors.New("refused")

// request is one request of the protocol, which may take several messages: redirects, a token, another try.
type request struct {
	method string
	url    *url.URL
	header http.Header
	where  endpoint
	scope  string // what the token has to be good for: "repository:library/busybox:pull"

	body func() (io.Reader, error) // gives the body from its beginning; nil if there is none
	size int64                     // of the body, in bytes

	secret bool // the body is for the host of the request alone

	tries int    // how often it may be tried again
	fixed string // Authorization, where it doesn't come from a session
}

// follow sends a request to where redirects lead. What authorizes it is for the host of the request: at the first
// redirect to another one it is dropped for good.
func (c *Client) follow(ctx context.Context, q *request, authorization string) (*http.Response, error) {
	target := q.url
	for range maxRedirects + 1 {
		if target.Scheme != "https" && !c.plain(target.Host) {
			return nil, fmt.Errorf("%w to speak plain http with %s; if you trust the network, allow it by name", errRefused, target.Host)
		}
		m, err := q.message(target, authorization)
		if err != nil {
			return nil, err
		}
		response, err := c.send(ctx, m)
		if err != nil {
			return nil, err
		}
		next, err := redirect(q.method, target, response)
		if next == nil && err == nil {
			return response, nil
		}
		drain(response)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", q.method, address(target), err)
		}
		if !sameHost(next, q.url) {
			if q.secret {
				return nil, fmt.Errorf("%w to follow a redirect with a token to %s", errRefused, next.Host)
			}
			authorization = ""
		}
		target = next
	}
	return nil, fmt.Errorf("%s %s: %w: more than %d redirects", q.method, address(q.url), errRefused, maxRedirects)
}

// message is the request as it goes to one address.
func (q *request) message(target *url.URL, authorization string) (*message, error) {
	m := &message{method: q.method, url: target, header: q.header.Clone(), size: q.size}
	if m.header == nil {
		m.header = http.Header{}
	}
	if authorization != "" {
		m.header.Set("Authorization", authorization)
	}
	if q.body == nil {
		return m, nil
	}
	var err error
	m.body, err = q.body()
	return m, err
}

// redirect is where an answer leads, or nil if it is the end of the way.
func redirect(method string, from *url.URL, response *http.Response) (*url.URL, error) {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if method != http.MethodGet && method != http.MethodHead {
			return nil, fmt.Errorf("%w to follow a redirect (%d) that would change the method", errRefused, response.StatusCode)
		}
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	return location(from, response)
}

// location reads where an answer points to with its header Location.
func location(from *url.URL, response *http.Response) (*url.URL, error) {
	text := response.Header.Get("Location")
	if text == "" {
		return nil, fmt.Errorf("%w: the answer %d has no Location", errRefused, response.StatusCode)
	}
	next, err := from.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the answer %d has a Location that is no address: %s", errRefused, response.StatusCode, printable(text, 200))
	}
	if next.Host == "" || next.Scheme != "https" && next.Scheme != "http" {
		return nil, fmt.Errorf("%w to follow to %s: not http", errRefused, printable(address(next), 200))
	}
	if from.Scheme == "https" && next.Scheme == "http" {
		return nil, fmt.Errorf("%w to follow from https to plain http: %s", errRefused, printable(address(next), 200))
	}
	next.User, next.Fragment = nil, ""
	return next, nil
}
