// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// message is one request as it goes over the wire.
type message struct {
	method string
	url    *url.URL
	header http.Header
	body   io.Reader // nil if there is none
	size   int64     // of the body, in bytes
}

// errSilent ends a request to a server from which nothing comes.
var errSilent = errors.New("the server is silent")

// enough is how many bytes have to come within the timeout for a server not to count as silent.
const enough = 16 << 10

// send sends one request and returns the answer, whatever its status. A server that is silent for too long ends it.
func (c *Client) send(ctx context.Context, m *message) (*http.Response, error) {
	transport, err := c.transport(m.url.Host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	guard := newGuard(c.timeout(), func() { cancel(fmt.Errorf("%w for %v", errSilent, c.timeout())) })
	request, lent := c.request(ctx, m, guard)
	guard.begin()
	response, err := transport.RoundTrip(request)
	lent.end()
	guard.end(enough)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // instead of "context canceled"
		}
		cancel(nil)
		return nil, fmt.Errorf("%s %s: %w", m.method, address(m.url), explain(err, m.url.Host))
	}
	for _, warning := range response.Header.Values("Warning") {
		c.notice(m.url.Host + " warns: " + warning)
	}
	response.Request = request // whatever the transport says
	response.Body = &guarded{body: response.Body, guard: guard, cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	return response, nil
}

// explain says what to do about a server that doesn't speak TLS.
func explain(err error, host string) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
		return fmt.Errorf("%w; if you trust the network, allow plain http with %s by name", http.ErrSchemeMismatch, host)
	}
	return err
}

// request makes the request of the standard library.
func (c *Client) request(ctx context.Context, m *message, guard *guard) (*http.Request, *lent) {
	request := (&http.Request{Method: m.method, URL: m.url, Header: m.header.Clone(), Host: m.url.Host}).WithContext(ctx)
	if request.Header == nil {
		request.Header = http.Header{}
	}
	request.Header.Set("User-Agent", orElse(c.UserAgent, "stave"))
	request.Header.Set("Accept-Encoding", "identity") // a digest is of the bytes as they come
	lent := &lent{r: m.body, left: m.size, guard: guard, done: ctx.Done()}
	if m.size > 0 {
		request.Body, request.ContentLength = lent, m.size
	} else if m.body != nil {
		request.Body = http.NoBody
	}
	return request, lent
}

// address is a URL for people: what comes after the question mark may be a secret.
func address(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// drain reads what little may be left of an answer, so that its connection can be used again, and closes it.
func drain(response *http.Response) {
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // if there is more, the connection is closed
	response.Body.Close()
}

// lent is a body that the transport may read until the answer is there. The transport's goroutine may hold on to it for
// longer, but the reader belongs to somebody else then, who may want to read it again.
type lent struct {
	mutex sync.Mutex
	r     io.Reader
	left  int64
	over  bool
	guard *guard
	done  <-chan struct{} // closed when the request has ended, for which the transport waits until this reader has
}

// Read reads for the transport. While it waits for the source, the server is not the one that is silent.
func (l *lent) Read(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch {
	case l.left == 0:
		return 0, io.EOF
	case l.over:
		return 0, errors.New("the answer came before all was sent")
	}
	select {
	case <-l.done:
		return 0, errors.New("the request has ended")
	default:
	}
	l.guard.end(enough)
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.guard.begin()
	l.left -= int64(n)
	if l.left == 0 {
		err = io.EOF
	}
	return n, err
}

// Close does nothing: the reader belongs to the caller.
func (l *lent) Close() error { return nil }

// end takes the reader back, and waits for a Read that is under way.
func (l *lent) end() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.over = true
}

// guard ends a request when the time spent in waiting for the server is used up. Every now and then, when enough has come,
// there is new time.
type guard struct {
	mutex sync.Mutex
	timer *time.Timer
	limit time.Duration
	left  time.Duration
	since time.Time
	bytes int
}

// newGuard makes a guard that does not wait yet.
func newGuard(limit time.Duration, expired func()) *guard {
	g := &guard{limit: limit, left: limit, timer: time.AfterFunc(limit, expired)}
	g.timer.Stop()
	return g
}

// begin starts to wait.
func (g *guard) begin() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.since = time.Now()
	g.timer.Reset(g.left)
}

// end stops to wait, as some bytes have come.
func (g *guard) end(bytes int) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.timer.Stop()
	g.left -= time.Since(g.since)
	if g.bytes += bytes; g.bytes >= enough {
		g.left, g.bytes = g.limit, 0
	}
}

// guarded is the body of an answer under guard.
type guarded struct {
	body   io.ReadCloser
	guard  *guard
	cancel context.CancelCauseFunc
	cause  func() error // why the request was ended from this side; nil if it wasn't
}

// Read reads from the server.
func (b *guarded) Read(p []byte) (int, error) {
	b.guard.begin()
	n, err := b.body.Read(p)
	b.guard.end(n)
	if err != nil && err != io.EOF {
		if cause := b.cause(); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close ends the request.
func (b *guarded) Close() error {
	err := b.body.Close()
	b.cancel(nil)
	return err
}
