// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// counters count what the server has done since its start.
type counters struct {
	received, sent            atomic.Int64 // bytes of bodies
	started, pushed, mounted  atomic.Int64 // uploads; blobs
	deleted                   atomic.Int64 // blobs
	collections, failed       atomic.Int64
	collected, collectedBytes atomic.Int64

	lock     sync.Mutex
	requests map[answered]int64
	kept     kept
}

// answered is what requests are counted by.
type answered struct {
	method string
	status int
}

// kept is what the last collection left.
type kept struct {
	repositories, blobs, bytes int64
}

// request counts a request. Methods that a client has made up are one.
func (c *counters) request(method string, status int) {
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, method) {
		method = "other"
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.requests == nil {
		c.requests = map[answered]int64{}
	}
	c.requests[answered{method, status}]++
}

// serveMetrics is /metrics, in Prometheus' text format.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	one := func(name, kind, help string, value int64) {
		fmt.Fprintf(&b, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s %[4]d\n", "stave_registry_"+name, help, kind, value)
	}
	c := &s.count
	c.lock.Lock()
	requests, kept := c.lines(), c.kept
	c.lock.Unlock()
	const name = "stave_registry_requests_total"
	fmt.Fprintf(&b, "# HELP %[1]s Requests answered, by method and status code.\n# TYPE %[1]s counter\n", name)
	for _, line := range requests {
		b.WriteString(name + line)
	}
	one("received_bytes_total", "counter", "Bytes of the bodies of requests.", c.received.Load())
	one("sent_bytes_total", "counter", "Bytes of the bodies of answers.", c.sent.Load())
	one("uploads_started_total", "counter", "Uploads of blobs that were started.", c.started.Load())
	one("uploads", "gauge", "Uploads of blobs that are under way since the server's start.", s.underWay())
	one("blobs_pushed_total", "counter", "Blobs that were uploaded whole.", c.pushed.Load())
	one("blobs_mounted_total", "counter", "Blobs that were taken over from another repository.", c.mounted.Load())
	one("blobs_deleted_total", "counter", "Blobs that clients deleted.", c.deleted.Load())
	one("collections_total", "counter", "Garbage collections.", c.collections.Load())
	one("collections_failed_total", "counter", "Garbage collections that failed.", c.failed.Load())
	one("collected_blobs_total", "counter", "Blobs that garbage collections removed.", c.collected.Load())
	one("collected_bytes_total", "counter", "Bytes of the blobs that garbage collections removed.", c.collectedBytes.Load())
	one("repositories", "gauge", "Repositories after the last garbage collection.", kept.repositories)
	one("blobs", "gauge", "Blobs after the last garbage collection, each once for every repository that has it.", kept.blobs)
	one("blob_bytes", "gauge", "Bytes of these blobs.", kept.bytes)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // who has gone needs no answer
}

// lines are the numbers of requests with their labels, in order. The caller holds the lock.
func (c *counters) lines() []string {
	var lines []string
	for what, n := range c.requests {
		lines = append(lines, fmt.Sprintf("{method=%q,code=\"%d\"} %d\n", what.method, what.status, n))
	}
	slices.Sort(lines)
	return lines
}

// underWay counts the uploads that the server knows.
func (s *Server) underWay() int64 {
	s.lock.Lock()
	defer s.lock.Unlock()
	return int64(len(s.uploads))
}
