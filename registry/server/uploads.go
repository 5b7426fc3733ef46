// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
)

// startUpload is POST NAME/blobs/uploads/: mount a blob, take one in a single request, or start an upload
// (distribution-spec, "Pushing blobs").
func (s *Server) startUpload(c *call) error {
	query := c.r.URL.Query()
	if query.Has("mount") {
		d, err := parseDigest(query.Get("mount"))
		if err != nil {
			return err
		}
		if mounted, err := s.mount(c, d, query.Get("from")); mounted || err != nil {
			return err
		}
	}
	whole := query.Has("digest") && !query.Has("mount")
	d, err := parseDigest(query.Get("digest"))
	if whole && err != nil {
		return err
	}
	u, err := s.newUpload(c.repo)
	if err != nil {
		return err
	}
	s.count.started.Add(1)
	if !whole {
		return s.progress(c, u, http.StatusAccepted)
	}
	if err := s.append(c, u, &d); err != nil { // the client has no id to go on with
		return errors.Join(err, s.cancel(u))
	}
	return nil
}

// mount takes a blob over from another repository, if the client may read that and it has the blob. Else the client is
// to push it.
func (s *Server) mount(c *call, d digest.Digest, from string) (bool, error) {
	sources := []string{from}
	if from == "" && s.o.MountAny {
		var err error
		if sources, err = s.names(); err != nil {
			return false, err
		}
	}
	for _, name := range sources {
		if checkName(name) != nil || !c.may(name, actionPull) {
			continue
		}
		err := c.repo.mount(d, s.repository(name))
		if err == nil {
			s.count.mounted.Add(1)
			return true, s.created(c, "blobs", d)
		}
		if unknown := new(refusal); !errors.As(err, &unknown) { // such as too many links; pushing may work
			s.problem(fmt.Errorf("mount %s from %s in %s: %w", d, name, c.repo.name, err))
		}
	}
	return false, nil
}

// created answers that a blob or manifest is there now.
func (s *Server) created(c *call, what string, d digest.Digest) error {
	h := c.w.Header()
	h.Set("Location", "/v2/"+c.repo.name+"/"+what+"/"+d.String())
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusCreated)
	return nil
}

// progress answers how far an upload is.
func (s *Server) progress(c *call, u *upload, status int) error {
	size, err := u.size()
	if err != nil {
		return err
	}
	c.uploadHeaders(u, size)
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Length", "0")
	}
	c.w.WriteHeader(status)
	return nil
}

// uploadHeaders say where an upload goes on. A range can't be empty: 0-0 is said of an upload without bytes, too.
func (c *call) uploadHeaders(u *upload, size int64) {
	h := c.w.Header()
	h.Set("Location", "/v2/"+u.repo.name+"/blobs/uploads/"+u.id)
	h.Set("Docker-Upload-Uuid", u.id)
	h.Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
}

// uploadStatus is GET NAME/blobs/uploads/ID.
func (s *Server) uploadStatus(c *call) error {
	u, err := s.upload(c.repo, c.route.last)
	if err != nil {
		return err
	}
	u.settle(c.r.Context(), s.quiet)
	return s.progress(c, u, http.StatusNoContent)
}

// continueUpload is PATCH NAME/blobs/uploads/ID: more bytes.
func (s *Server) continueUpload(c *call) error {
	u, err := s.upload(c.repo, c.route.last)
	if err != nil {
		return err
	}
	return s.append(c, u, nil)
}

// endUpload is PUT NAME/blobs/uploads/ID?digest=DIGEST: the last bytes, or none, and what all of them are.
func (s *Server) endUpload(c *call) error {
	u, err := s.upload(c.repo, c.route.last)
	if err != nil {
		return err
	}
	d, err := parseDigest(c.r.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	return s.append(c, u, &d)
}

// cancelUpload is DELETE NAME/blobs/uploads/ID.
func (s *Server) cancelUpload(c *call) error {
	u, err := s.upload(c.repo, c.route.last)
	if err != nil {
		return err
	}
	if err := u.take(c.r.Context(), func() {}); err != nil {
		return err
	}
	defer u.give()
	if err := s.cancel(u); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// append receives a request's body for an upload; with a digest, the upload ends with it. A body that breaks off has been
// received as far as it came.
func (s *Server) append(c *call, u *upload, d *digest.Digest) error {
	body := newBody(c.w, c.r, s.patience)
	if err := u.take(c.r.Context(), body.stop); err != nil {
		return err
	}
	defer u.give()
	f, size, err := u.open()
	if err != nil {
		return err
	}
	defer f.Close()
	length, err := chunk(c.r.Header.Get("Content-Range"), size, c.r.ContentLength)
	if err != nil {
		if err.(*refusal).status == http.StatusRequestedRangeNotSatisfiable {
			c.uploadHeaders(u, size)
		}
		return err
	}
	algorithm := digest.SHA256
	if d != nil {
		algorithm = d.Algorithm()
	}
	n, err := u.receive(f, size, body, algorithm)
	switch {
	case err != nil && body.failed:
		return &refusal{http.StatusBadRequest, codeUploadInvalid, fmt.Sprintf("the body ended after %d bytes: ask where to go on", n)}
	case err != nil:
		return err
	case length >= 0 && n != length:
		return &refusal{http.StatusBadRequest, codeSizeInvalid, fmt.Sprintf("the body has %d bytes, its Content-Range %d", n, length)}
	case d == nil:
		return s.progress(c, u, http.StatusAccepted)
	}
	if err := s.finish(u, f, *d); err != nil {
		return err
	}
	s.count.pushed.Add(1)
	return s.created(c, "blobs", *d)
}

// rangeGrammar is the form of a Content-Range of this protocol, "0-99"; and with what HTTP would have around it,
// "bytes 0-99/200".
var rangeGrammar = regexp.MustCompile(`^(?:bytes )?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?$`)

// chunk checks the Content-Range of a request, if it has one, against the bytes that have come and the length of the body
// (-1: unknown). It returns how many bytes the range has, and -1 without a range.
func chunk(header string, come, body int64) (int64, error) {
	if header == "" {
		return -1, nil
	}
	parts := rangeGrammar.FindStringSubmatch(header)
	if parts == nil {
		return 0, &refusal{http.StatusBadRequest, codeUploadInvalid, "the Content-Range " + quote(header) + " is not of the form FIRST-LAST"}
	}
	first, _ := strconv.ParseInt(parts[1], 10, 64) // the grammar bounds them
	last, _ := strconv.ParseInt(parts[2], 10, 64)
	if first != come {
		return 0, &refusal{
			http.StatusRequestedRangeNotSatisfiable, codeUploadInvalid,
			fmt.Sprintf("the chunk starts at byte %d, but %d bytes have come", first, come),
		}
	}
	if last < first-1 || body >= 0 && last-first+1 != body {
		return 0, &refusal{http.StatusBadRequest, codeSizeInvalid, fmt.Sprintf("the Content-Range %s is not that of a body of %d bytes", header, body)}
	}
	return last - first + 1, nil
}

// patience is how long a client may send nothing in the middle of a body, and take to read an answer that is no blob.
const patience = 2 * time.Minute

// body is a request's body that another request may stop, and that fails when nothing comes for too long.
type body struct {
	io.Reader
	control  *http.ResponseController
	patience time.Duration
	stopped  atomic.Bool
	failed   bool // the client is to blame for the copy's failure, not the disk
}

// newBody is the body of a request whose client is waited for so long.
func newBody(w http.ResponseWriter, r *http.Request, patience time.Duration) *body {
	return &body{Reader: r.Body, control: http.NewResponseController(w), patience: patience}
}

// errStopped says that another request goes on with the upload.
var errStopped = errors.New("another request goes on with it")

// Read reads on, unless stop was called. The order of the two lines before the read matters: a deadline that stop
// has set may be overwritten only before stopped is looked at.
func (b *body) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.patience)) // not every connection can, such as one in a test
	if b.stopped.Load() {
		b.failed = true
		return 0, errStopped
	}
	n, err := b.Reader.Read(p)
	b.failed = err != nil && err != io.EOF
	if err == io.EOF { // net/http reads on while the blob is checked, and would take the deadline for the client's end
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// stop makes Read fail, also one that waits.
func (b *body) stop() {
	b.stopped.Store(true)
	_ = b.control.SetReadDeadline(time.Now())
}
