// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// getBlob is GET or HEAD NAME/blobs/DIGEST (distribution-spec, "Pulling blobs"), whole or in parts (RFC 9110, "Range Requests").
func (s *Server) getBlob(c *call) error {
	d, err := parseDigest(c.route.last)
	if err != nil {
		return err
	}
	f, info, err := s.openBlob(c, d)
	if err != nil {
		return err
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	h.Set("Cache-Control", "max-age=31536000")
	// Who takes less than 10 kB a second keeps a descriptor and a goroutine for nothing.
	c.w.slowest += time.Duration(info.Size()/10_000) * time.Second
	http.ServeContent(c.w, c.r, "", time.Time{}, f)
	return nil
}

// openBlob opens a blob. One whose presence alone is asked for is about to be relied on by a client that would else push it, so
// it is made young where it has grown old.
func (s *Server) openBlob(c *call, d digest.Digest) (*os.File, os.FileInfo, error) {
	if c.r.Method == http.MethodHead && !s.o.ReadOnly {
		c.repo.busy.RLock()
		defer c.repo.busy.RUnlock()
	}
	f, info, err := c.repo.open(d)
	if err != nil || c.r.Method != http.MethodHead || s.o.ReadOnly || time.Since(info.ModTime()) < s.o.Grace/2 {
		return f, info, err
	}
	if err := c.repo.keep(d); err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// deleteBlob is DELETE NAME/blobs/DIGEST (distribution-spec, "Content Management"). What a manifest needs stays.
func (s *Server) deleteBlob(c *call) error {
	d, err := parseDigest(c.route.last)
	if err != nil {
		return err
	}
	c.repo.busy.Lock()
	defer c.repo.busy.Unlock()
	if _, err := c.repo.size(d); err != nil {
		return err
	}
	index, err := c.repo.index()
	if err != nil {
		return err
	}
	for _, entry := range index.Manifests {
		if entry.Digest == d {
			return unsupported("it is a manifest: delete it as one")
		}
	}
	by, err := c.repo.needer(index, d)
	if by != "" {
		return needed(d, by)
	}
	if err != nil {
		return err
	}
	if err := os.Remove(c.repo.blob(d)); err != nil {
		return missing(err, blobUnknown(c.repo.name, d))
	}
	s.count.deleted.Add(1)
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}
