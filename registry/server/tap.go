// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// tap is a ResponseWriter that notes what passes.
type tap struct {
	http.ResponseWriter
	start    time.Time
	written  bool
	status   int
	sent     int64
	received atomic.Int64
	user     string        // whose name and password were right
	slowest  time.Duration // how long the client may take to read the answer
}

// newTap puts a tap on a request and its answer, which the client gets so long to read.
func newTap(w http.ResponseWriter, r *http.Request, slowest time.Duration) *tap {
	t := &tap{ResponseWriter: w, start: time.Now(), status: http.StatusOK, slowest: slowest}
	if r.Body != nil {
		r.Body = &counted{r.Body, &t.received}
	}
	return t
}

// Unwrap is for http.ResponseController.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// begin starts the client's time when the answer begins.
func (t *tap) begin() {
	if !t.written {
		t.written = true
		_ = http.NewResponseController(t.ResponseWriter).SetWriteDeadline(time.Now().Add(t.slowest)) // not every connection can
	}
}

// WriteHeader notes the status.
func (t *tap) WriteHeader(status int) {
	if !t.written {
		t.status = status
	}
	t.begin()
	t.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (t *tap) Write(p []byte) (int, error) {
	t.begin()
	n, err := t.ResponseWriter.Write(p)
	t.sent += int64(n)
	return n, err
}

// ReadFrom counts, and leaves it to net/http to have the kernel send a file (sendfile(2)).
func (t *tap) ReadFrom(r io.Reader) (int64, error) {
	t.begin()
	n, err := io.Copy(t.ResponseWriter, r)
	t.sent += n
	return n, err
}

// counted is a body whose bytes are counted.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

// Read counts.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// accessLog writes a line per request. Lines of several requests don't mix.
type accessLog struct {
	lock sync.Mutex
	w    io.Writer
}

// record counts a request that has been answered, and logs it in the common log format, with its time in seconds behind:
//
//	127.0.0.1 - bob [21/Nov/2026:20:00:00 +0000] "GET /v2/busybox/tags/list HTTP/1.1" 200 37 0.000412
func (s *Server) record(t *tap, r *http.Request) {
	s.count.request(r.Method, t.status)
	s.count.received.Add(t.received.Load())
	s.count.sent.Add(t.sent)
	if s.log.w == nil {
		return
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "-"
	}
	user := "-"
	if t.user != "" {
		user = quote(t.user)
		user = user[1 : len(user)-1]
	}
	line := fmt.Sprintf("%s - %s [%s] %q %d %d %.6f\n", host, user, t.start.Format("02/Jan/2006:15:04:05 -0700"),
		r.Method+" "+r.URL.EscapedPath()+" "+r.Proto, t.status, t.sent, time.Since(t.start).Seconds())
	s.log.lock.Lock()
	defer s.log.lock.Unlock()
	_, _ = io.WriteString(s.log.w, line) // a log that can't be written is no reason to stop
}
