// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync"

	"stave/registry/server"
)

// This file is the registry: a folder behind HTTP, with an ear on the wire.

// tapped is a registry of which every request is printed as it is answered.
type tapped struct {
	registry http.Handler
	mutex    sync.Mutex // requests may come at the same time
	out      io.Writer
}

// long finds what makes paths long: digests, and the names of uploads.
var long = regexp.MustCompile(`([0-9a-f]{8})[0-9a-f]{24,56}|(uploads/[0-9A-Za-z_-]{6})[0-9A-Za-z_=-]+`)

// ServeHTTP passes a request on and prints it: what was asked, how many bytes came with it, the answer, where that leads.
func (t *tapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := &counted{ReadCloser: r.Body}
	r.Body = body
	a := &answer{ResponseWriter: w, status: http.StatusOK}
	t.registry.ServeHTTP(a, r)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	line := fmt.Sprintf("  %-5s %s", r.Method, r.URL.RequestURI())
	if body.n > 0 {
		line += fmt.Sprintf("  (%d bytes)", body.n)
	}
	line += fmt.Sprintf("  -> %d %s", a.status, http.StatusText(a.status))
	if a.n > 0 && r.Method != http.MethodHead { // of that only the header is sent
		line += fmt.Sprintf(", %d bytes", a.n)
	}
	if to := w.Header().Get("Location"); to != "" {
		line += ", go to " + to
	}
	fmt.Fprintln(t.out, long.ReplaceAllString(line, "$1$2…"))
}

// counted counts what is read.
type counted struct {
	io.ReadCloser
	n int64
}

// Read reads.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

// answer counts what is written and keeps the status.
type answer struct {
	http.ResponseWriter
	status int
	n      int64
}

// WriteHeader begins the answer.
func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Write goes on with it.
func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.n += int64(n)
	return n, err
}

// Unwrap is for those who want more of the answer than this knows (http.ResponseController).
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// serve starts a registry over a folder and returns its address. Stop ends it, and waits for requests that are under way.
func serve(folder, address string, out io.Writer) (at string, stop func(context.Context) error, err error) {
	s, err := server.Open(folder, server.Options{})
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, errors.Join(err, s.Close())
	}
	web := &http.Server{Handler: &tapped{registry: s, out: out}}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	stop = func(ctx context.Context) error {
		err := web.Shutdown(ctx)
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return errors.Join(err, s.Close())
	}
	return listener.Addr().String(), stop, nil
}
