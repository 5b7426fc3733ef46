// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// upload is a blob on its way in: a file that grows. All that lasts of it is the file, whose size is how far it has come. One
// request at a time has its turn.
type upload struct {
	repo *repository
	id   string
	turn chan struct{}

	lock sync.Mutex
	stop func() // makes the request that has its turn end early; nil if none has

	// The digest of the first hashed bytes, so that they need not be read again. The request that has its turn owns it.
	hash      hash.Hash
	algorithm digest.Algorithm
	hashed    int64
}

// file is the path of the upload's file.
func (u *upload) file() string { return filepath.Join(u.repo.dir, uploadsFolder, u.id) }

// newUpload starts an upload.
func (s *Server) newUpload(r *repository) (*upload, error) {
	r.busy.RLock()
	defer r.busy.RUnlock()
	return s.makeUpload(r)
}

// makeUpload makes the file of an upload. The caller holds busy.
func (s *Server) makeUpload(r *repository) (*upload, error) {
	random := make([]byte, 16)
	rand.Read(random) // it never fails
	id := hex.EncodeToString(random)
	folder := filepath.Join(r.dir, uploadsFolder)
	err := again(func() error { return os.MkdirAll(folder, 0o755) })
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(folder, id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return s.upload(r, id)
}

// again repeats what failed because a collection removed an empty folder under it.
func again(do func() error) (err error) {
	for range 10 {
		if err = do(); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

// upload finds an upload by its id, also one from before the server's start.
func (s *Server) upload(r *repository, id string) (*upload, error) {
	if !idGrammar.MatchString(id) {
		return nil, uploadUnknown(r.name, id)
	}
	u := &upload{repo: r, id: id, turn: make(chan struct{}, 1)}
	s.lock.Lock()
	defer s.lock.Unlock()
	if _, err := u.size(); err != nil {
		return nil, err
	}
	if known := s.uploads[u.file()]; known != nil {
		return known, nil
	}
	s.uploads[u.file()] = u
	return u, nil
}

// forget drops what the server knows of an upload whose file has gone.
func (s *Server) forget(u *upload) {
	s.lock.Lock()
	defer s.lock.Unlock()
	delete(s.uploads, u.file())
}

// size is how many bytes have come.
func (u *upload) size() (int64, error) {
	n, err := sizeOf(u.file())
	return n, missing(err, uploadUnknown(u.repo.name, u.id))
}

// take waits for the turn. The request that has it is made to end: a client that comes back has given up on the
// connection before, which the server may not have noticed. What stop does has to be safe at any time until give.
func (u *upload) take(ctx context.Context, stop func()) error {
	u.lock.Lock()
	if u.stop != nil {
		u.stop()
	}
	u.lock.Unlock()
	select {
	case u.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	u.lock.Lock()
	u.stop = stop
	u.lock.Unlock()
	return nil
}

// give ends the turn.
func (u *upload) give() {
	u.lock.Lock()
	u.stop = nil
	u.lock.Unlock()
	<-u.turn
}

// quiet is how long the request that has the turn may bring nothing before it is taken for dead.
const quiet = 200 * time.Millisecond

// settle waits until the request that has the turn ends, or brings nothing more: what a client has sent before its connection broke may
// still be on its way into the file. It gives up on a request that lives.
func (u *upload) settle(ctx context.Context, quiet time.Duration) {
	for last, i := int64(-1), 0; i < 50; i++ {
		select {
		case u.turn <- struct{}{}:
			<-u.turn
			return
		case <-ctx.Done():
			return
		case <-time.After(quiet):
		}
		size, err := u.size()
		if err != nil || size == last {
			return
		}
		last = size
	}
}

// open opens the file at its end.
func (u *upload) open() (f *os.File, size int64, err error) {
	f, err = os.OpenFile(u.file(), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, missing(err, uploadUnknown(u.repo.name, u.id))
	}
	size, err = f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// receive appends a body to the file, which has a size. The digest will probably be one of the algorithm.
func (u *upload) receive(f io.Writer, size int64, body io.Reader, algorithm digest.Algorithm) (int64, error) {
	if size == 0 {
		u.hash, u.algorithm, u.hashed = algorithm.Hash(), algorithm, 0
	}
	if u.hash == nil || u.hashed != size { // the server has been started since, or a disk was full
		u.hash = nil
		return io.Copy(f, body)
	}
	return io.CopyBuffer(plain{io.MultiWriter(f, hashing{u})}, body, make([]byte, copyBuffer))
}

// hashing hashes an upload's bytes and counts them itself: a full disk takes a part of a write that the hash then never gets.
type hashing struct{ u *upload }

// Write hashes.
func (h hashing) Write(p []byte) (int, error) {
	h.u.hashed += int64(len(p))
	return h.u.hash.Write(p)
}

// copyBuffer is how many bytes are received at once.
const copyBuffer = 256 << 10

// plain hides all but Write, so that io.CopyBuffer uses its buffer.
type plain struct{ io.Writer }

// check compares what has come with its digest. What has been received by this server's process has been hashed on its
// way; else the file is read.
func (u *upload) check(f *os.File, want digest.Digest) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if u.hash == nil || u.hashed != size || u.algorithm != want.Algorithm() {
		u.hash, u.algorithm, u.hashed = want.Algorithm().Hash(), want.Algorithm(), size
		if _, err := io.Copy(u.hash, io.NewSectionReader(f, 0, size)); err != nil {
			u.hash = nil
			return err
		}
	}
	if got := digest.NewDigest(u.algorithm, u.hash); got != want {
		return digestInvalid(want.String(), fmt.Sprintf("the %d bytes that came have %s", size, got))
	}
	return nil
}

// finish makes the upload a blob. Where the digest is wrong the upload ends: nothing could make it right.
func (s *Server) finish(u *upload, f *os.File, d digest.Digest) error {
	if err := u.check(f, d); err != nil {
		if wrong := new(refusal); errors.As(err, &wrong) {
			return errors.Join(err, s.cancel(u))
		}
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	u.repo.busy.RLock()
	defer u.repo.busy.RUnlock()
	if err := u.repo.adopt(u.file(), d); err != nil {
		return err
	}
	s.forget(u)
	return nil
}

// cancel removes an upload.
func (s *Server) cancel(u *upload) error {
	s.forget(u)
	return missing(os.Remove(u.file()), nil)
}
