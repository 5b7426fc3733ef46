// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"net/http"
	"sync"
	"time"

	"stave/registry/credentials"
)

// Client reaches registries. Its fields are options, to be set before it is used; their zero values are sensible. It
// remembers connections and tokens, may be used by several goroutines at once, and must not be copied.
type Client struct {
	// Transport sends requests; nil means HTTP with the proxies of the environment and the certificates of CAFile and CertDir.
	Transport http.RoundTripper

	// Credentials finds what to tell a registry, by its name and that of the repository: docker.io/library/busybox; for
	// the registry as a whole, docker.io. Nil means that nobody is logged in. See [credentials.Store.Get].
	Credentials func(ctx context.Context, name string) (credentials.Credential, error)

	// Mirrors are, by registry, other places that are tried first, in order, when something is read: HOST[:PORT][/PREFIX], or
	// such with https:// or http:// before it.
	Mirrors map[string][]string

	// PlainHTTP are the hosts (HOST or HOST:PORT) besides this machine that may be spoken to without TLS.
	PlainHTTP []string

	// CAFile has certificates of authorities to trust besides the system's, in PEM.
	CAFile string

	// CertDir has for a registry the folder HOST:PORT with certificates of authorities (*.crt), and pairs of a certificate
	// (*.cert) and its key (*.key) that identify the client. "" means /etc/docker/certs.d.
	CertDir string

	// UserAgent is what the client calls itself; "" means stave.
	UserAgent string

	// Notice is told what is no error but worth knowing, a line each: that a mirror failed, that a request is tried again,
	// what a registry warns of. Nil means that nobody wants to know.
	Notice func(text string)

	// ChunkSize is how many bytes of a blob go into one request; 0 means all of them.
	ChunkSize int64

	// Retries is how often a request that failed is tried again; 0 means 5, and less than that never.
	Retries int

	// Timeout is how long a server may be silent, or send next to nothing; 0 means a minute.
	Timeout time.Duration

	// Sleep waits before a request is tried again; nil waits by the clock.
	Sleep func(ctx context.Context, d time.Duration) error

	// Now tells the time by which tokens expire; nil means time.Now.
	Now func() time.Time

	mutex      sync.Mutex
	sessions   map[string]*session          // by host and scope
	transports map[string]http.RoundTripper // by host; "" for all without certificates of their own
	schemes    map[string]string            // by host: https or http
	subjects   map[string]*sync.Mutex       // by fallback tag of referrers
	pushing    map[string]chan struct{}     // by blob; closed when its push has ended
}

// orElse is a value, or another one in place of the zero value.
func orElse[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// retries is how often a request may be tried again.
func (c *Client) retries() int { return max(orElse(c.Retries, 5), 0) }

// timeout is how long a server may be silent.
func (c *Client) timeout() time.Duration { return orElse(c.Timeout, time.Minute) }

// now tells the time.
func (c *Client) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// sleep waits, unless the context ends first.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	if c.Sleep != nil {
		return c.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// notice tells what is worth knowing. The text may have parts that a server made up.
func (c *Client) notice(text string) {
	if c.Notice != nil {
		c.Notice(printable(text, 500))
	}
}

// remember returns what table has under a key, or puts there what is made. The caller holds the mutex.
func remember[V any](table *map[string]V, key string, create func() V) V {
	if *table == nil {
		*table = map[string]V{}
	}
	value, ok := (*table)[key]
	if !ok {
		value = create()
		(*table)[key] = value
	}
	return value
}
