// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// servers are the hosts behind the name of a registry where they aren't called like it: Docker Hub alone.
var servers = map[string]struct{ api, search string }{
	"docker.io": {api: "registry-1.docker.io", search: "index.docker.io"},
}

// endpoint is a place where the repositories of a registry can be had: the registry itself or a mirror.
type endpoint struct {
	registry string // the name by which users and their credentials know it: docker.io
	host     string // where requests go, with the port if there is one: registry-1.docker.io
	scheme   string // https or http; "" if it has to be found out
	prefix   string // what comes before the path of a repository
	mirror   bool
}

// upstream is the registry itself.
func upstream(name string) endpoint {
	return endpoint{registry: name, host: orElse(servers[name].api, name)}
}

// parseMirror reads the address of a mirror: HOST[:PORT][/PREFIX], maybe with a scheme.
func parseMirror(address string) (endpoint, error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	}
	host, prefix, _ := strings.Cut(rest, "/")
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || host == "" || !slices.Contains([]string{"", "http", "https"}, scheme) {
		return endpoint{}, fmt.Errorf("mirror %q: not of the form [https://]HOST[:PORT][/PREFIX]", address)
	}
	return endpoint{registry: host, host: host, scheme: scheme, prefix: strings.Trim(prefix, "/"), mirror: true}, nil
}

// endpoints are the places to read from, in order: the mirrors of a registry, and the registry.
func (c *Client) endpoints(registry string) ([]endpoint, error) {
	var all []endpoint
	for _, address := range c.Mirrors[registry] {
		e, err := parseMirror(address)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return append(all, upstream(registry)), nil
}

// plain says whether a host may be spoken to without TLS.
func (c *Client) plain(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	if ip := net.ParseIP(name); name == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	if slices.Contains(c.PlainHTTP, host) || slices.Contains(c.PlainHTTP, name) {
		return true
	}
	for _, mirrors := range c.Mirrors {
		for _, address := range mirrors {
			if e, err := parseMirror(address); err == nil && e.host == host && e.scheme == "http" {
				return true
			}
		}
	}
	return false
}

// url is the address of something below /v2/ at an endpoint.
func (c *Client) url(ctx context.Context, e endpoint, path string, query url.Values) *url.URL {
	if e.prefix != "" {
		path = e.prefix + "/" + path
	}
	return &url.URL{Scheme: c.scheme(ctx, e), Host: e.host, Path: "/v2/" + path, RawQuery: query.Encode()}
}

// scheme finds out whether a host speaks TLS. Only one that may go without is asked: with TLS first.
func (c *Client) scheme(ctx context.Context, e endpoint) string {
	if e.scheme != "" {
		return e.scheme
	}
	if !c.plain(e.host) {
		return "https"
	}
	c.mutex.Lock()
	known := c.schemes[e.host]
	c.mutex.Unlock()
	if known != "" {
		return known
	}
	found, sure := c.probe(ctx, e.host)
	if sure {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		remember(&c.schemes, e.host, func() string { return found })
	}
	return found
}

// probe asks a host with TLS and, if that is not what it speaks, without. It is sure if the answers say so.
func (c *Client) probe(ctx context.Context, host string) (scheme string, sure bool) {
	ask := func(scheme string) (status int, err error) {
		response, err := c.send(ctx, &message{method: http.MethodGet, url: &url.URL{Scheme: scheme, Host: host, Path: "/v2/"}})
		if err != nil {
			return 0, err
		}
		drain(response)
		return response.StatusCode, nil
	}
	_, err := ask("https")
	switch {
	case err == nil || refusedTLS(err):
		return "https", true // what is wrong with a certificate the real request will tell
	case errors.Is(err, http.ErrSchemeMismatch):
		return "http", true
	}
	status, err := ask("http")
	if err == nil && status == http.StatusBadRequest {
		return "https", true // as servers say that want TLS; with TLS it was the connection that failed, or our certificate
	}
	return "http", err == nil
}

// refusedTLS says whether one of the two sides didn't like the other's certificate.
func refusedTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var alert *net.OpError
	return errors.As(err, &certificate) || errors.As(err, &alert) && alert.Op == "remote error" // as crypto/tls calls an alert
}

// sameHost says whether two addresses are served by the same host and port in the same way.
func sameHost(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// port is the port of an address, also where it is not said.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"https": "443", "http": "80"}[u.Scheme]
}
