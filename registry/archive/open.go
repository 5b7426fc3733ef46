// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"cmp"
	"context"
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

// OpenOptions are the choices of reading an archive.
type OpenOptions struct {
	// TempDir is where an archive is put that comes through a pipe or is compressed; "" means os.TempDir.
	TempDir string
	// MaxBytes is how large it may be then, uncompressed; 0 means 256 GiB.
	MaxBytes int64
}

// Archive is an archive that is open for reading. It is a [registry.Store] that takes nothing, and a [registry.Lister].
type Archive struct {
	tree   *tree
	temp   *os.File
	names  []registry.Named
	blobs  map[digest.Digest]string // path in the archive
	hashed map[int64]digest.Digest  // of compressed layers of manifest.json, by where they begin
	made   map[digest.Digest]made   // manifests that are not in the archive
	layout bool
}

// made is a manifest that was made from what manifest.json says.
type made struct {
	data      []byte
	mediaType string
}

// Open reads what is in an archive of either form, compressed (gzip, zstd, bzip2) or not. A regular file that is not compressed is read in
// place and must stay open as long as the archive; all else is first put into a temporary file that has no name. When ctx is done Open
// returns, even if a Read of r doesn't.
func Open(ctx context.Context, r io.Reader, o OpenOptions) (a *Archive, err error) {
	a = &Archive{blobs: map[digest.Digest]string{}, hashed: map[int64]digest.Digest{}, made: map[digest.Digest]made{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	data, size, err := a.bytes(ctx, r, o)
	if err != nil {
		return a, err
	}
	if a.tree, err = readTree(data, size); err != nil {
		return a, err
	}
	switch {
	case a.tree.has(ocispec.ImageLayoutFile) && a.tree.has(ocispec.ImageIndexFile):
		return a, a.readLayout()
	case a.tree.has("manifest.json"):
		return a, a.readDocker(ctx)
	case a.tree.has("repositories"):
		return a, fmt.Errorf("archive has no manifest.json: Docker before 1.10 has saved it; load it there and save it with a later version: %w", registry.ErrUnsupported)
	}
	return a, errors.New("archive is not of images: it has neither manifest.json nor oci-layout; a file system is imported, not loaded")
}

// Close removes the temporary file.
func (a *Archive) Close() error {
	if a.temp == nil {
		return nil
	}
	return a.temp.Close()
}

// bytes returns the uncompressed archive.
func (a *Archive) bytes(ctx context.Context, r io.Reader, o OpenOptions) (io.ReaderAt, int64, error) {
	if f, is := r.(*os.File); is {
		stat, err := f.Stat()
		if err != nil {
			return nil, 0, err
		}
		head := make([]byte, magicBytes)
		if stat.Mode().IsRegular() {
			if n, _ := f.ReadAt(head, 0); compressionOf(head[:n]) == plain {
				return f, stat.Size(), nil
			}
		}
	}
	pumped := pump(ctx, r)
	defer pumped.Close()
	buffered := bufio.NewReaderSize(pumped, 1<<20)
	head, err := buffered.Peek(magicBytes)
	if err != nil && err != io.EOF {
		return nil, 0, fmt.Errorf("read archive: %w", err)
	}
	z, err := decompress(buffered, compressionOf(head))
	if err != nil {
		return nil, 0, fmt.Errorf("read archive: %w", err)
	}
	defer z.Close()
	return a.spool(ctx, z, o)
}

// nameless makes a file that goes with its descriptor, however the process ends (open(2), O_TMPFILE).
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "(archive)")), nil
	}
	f, err := os.CreateTemp(dir, "archive-") // a file system that has none
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// spool puts a stream into a temporary file.
func (a *Archive) spool(ctx context.Context, r io.Reader, o OpenOptions) (io.ReaderAt, int64, error) {
	f, err := nameless(cmp.Or(o.TempDir, os.TempDir()))
	if err != nil {
		return nil, 0, err
	}
	a.temp = f
	limit := o.MaxBytes
	if limit <= 0 {
		limit = 256 << 30
	}
	size, err := io.Copy(f, io.LimitReader(until{ctx, r}, limit+1))
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil, 0, fmt.Errorf("unpack archive to a temporary file: %w; make room there, or uncompress the archive first: a regular file is read in place", err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("unpack archive to a temporary file: %w", err)
	}
	if size > limit {
		return nil, 0, fmt.Errorf("archive has more than %d bytes, uncompressed", limit)
	}
	return f, size, nil
}

// pump reads in a goroutine of its own, so that nobody waits for the next byte of a silent terminal or pipe once the context is done
// or the result is closed. The goroutine then ends with the Read that it is in, which may be never.
func pump(ctx context.Context, r io.Reader) io.ReadCloser {
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.CopyBuffer(pw, struct{ io.Reader }{r}, make([]byte, 256<<10))
		pw.CloseWithError(err)
	}()
	return pr
}

// until is a reader that ends with its context.
type until struct {
	ctx context.Context
	io.Reader
}

// Read reads unless the context is done.
func (r until) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
