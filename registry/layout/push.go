// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
)

// chunk is how many bytes are hashed and written at once.
const chunk = 256 << 10

// Push keeps a blob. If another push of the same blob is going on, here or in another process, it waits for that. What a push that was cut
// off has left it verifies and goes on with, if r can seek.
func (l *Layout) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if has, err := l.Exists(ctx, d); has || err != nil {
		return err
	}
	path := filepath.Join(l.dir, ingestDir, d.Digest.Algorithm().String()+"-"+d.Digest.Encoded())
	f, err := l.openIngest(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	if has, err := l.Exists(ctx, d); has || err != nil { // by the other push
		return errors.Join(err, os.Remove(path))
	}
	if err := fill(ctx, f, d, r); err != nil {
		return l.abandon(f, err)
	}
	return l.publish(f, d)
}

// openIngest opens and locks a file for what comes in.
func (l *Layout) openIngest(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return openLocked(ctx, path)
}

// writeError is an error of the folder, not of the reader.
type writeError struct{ cause error }

// Error says what to do about a full disk.
func (e writeError) Error() string {
	if errors.Is(e.cause, unix.ENOSPC) || errors.Is(e.cause, unix.EDQUOT) {
		return e.cause.Error() + "; free some space there, for example by removing images"
	}
	return e.cause.Error()
}

// Unwrap is the error itself.
func (e writeError) Unwrap() error { return e.cause }

// abandon keeps what a push has, for the next one, unless it is wrong or the disk is full: then somebody else needs the space.
func (l *Layout) abandon(f *os.File, err error) error {
	stat, failed := f.Stat()
	if w := (writeError{}); errors.As(err, &w) || errors.Is(err, registry.ErrDigest) || failed == nil && stat.Size() == 0 {
		err = errors.Join(err, failed, os.Remove(f.Name()))
	}
	return err
}

// publish makes a verified blob appear.
func (l *Layout) publish(f *os.File, d ocispec.Descriptor) error {
	return l.hold(d, func() error {
		to := l.path(d.Digest)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := f.Chmod(0o644); err != nil { // a blob is for other programs, too
			return err
		}
		return os.Rename(f.Name(), to)
	})
}

// fill makes a file be a blob, of which it may have a part.
func fill(ctx context.Context, f *os.File, d ocispec.Descriptor, r io.Reader) error {
	v, err := registry.NewVerifier(d)
	if err != nil {
		return err
	}
	seeker, canSeek := r.(io.Seeker)
	resumed := canSeek && resume(f, v, seeker)
	if !resumed {
		v.Reset()
		if err := restart(f); err != nil {
			return err
		}
	}
	if !resumed && registry.Verifies(r, d) {
		return pour(ctx, f, io.Discard, r)
	}
	err = pour(ctx, f, v, r)
	if err == nil {
		err = v.Verify()
	}
	if !resumed || !errors.Is(err, registry.ErrDigest) {
		return err
	}
	// What was there may have been wrong.
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("begin again with %s: %w", d.Digest, err)
	}
	v.Reset()
	if err := restart(f); err != nil {
		return err
	}
	if err := pour(ctx, f, v, r); err != nil {
		return err
	}
	return v.Verify()
}

// resume verifies what a file has and moves the reader behind that. If it returns false, the reader is at its beginning.
func resume(f *os.File, v *registry.Verifier, seeker io.Seeker) bool {
	n, err := io.CopyBuffer(v, struct{ io.Reader }{f}, make([]byte, chunk))
	if err != nil || n == 0 {
		return false
	}
	to, err := seeker.Seek(n, io.SeekStart)
	if err == nil && to == n {
		return true
	}
	_, _ = seeker.Seek(0, io.SeekStart) // where that fails too, reading does
	return false
}

// restart empties a file. On ext4, close(2) of a file that was truncated begins to write it to the disk (ext4(5), auto_da_alloc), so
// that little is left to do for the name.
func restart(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return writeError{err}
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// pour writes to a file what is left of a reader, and shows it to the verifier.
func pour(ctx context.Context, f *os.File, v io.Writer, r io.Reader) error {
	buffer := make([]byte, chunk)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buffer)
		if _, wrong := v.Write(buffer[:n]); wrong != nil {
			return wrong
		}
		if _, failed := f.Write(buffer[:n]); failed != nil {
			return writeError{failed}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Ingest keeps bytes whose digest comes with the last of them.
func (l *Layout) Ingest(ctx context.Context, mediaType string, r io.Reader) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType}
	f, err := l.openIngest(ctx, filepath.Join(l.dir, ingestDir, newPrefix+rand.Text()))
	if err != nil {
		return d, err
	}
	defer f.Close()
	digester := digest.Canonical.Digester()
	if err := pour(ctx, f, digester.Hash(), r); err != nil {
		return d, errors.Join(err, os.Remove(f.Name()))
	}
	stat, err := f.Stat()
	if err != nil {
		return d, errors.Join(err, os.Remove(f.Name()))
	}
	d.Digest, d.Size = digester.Digest(), stat.Size()
	return d, l.publish(f, d)
}
