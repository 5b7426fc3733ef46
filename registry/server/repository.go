// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// repository is a folder with an image layout. It may not exist yet.
type repository struct {
	name string
	dir  string
	// busy is held shared by a request that relies on blobs to stay or adds some, and alone by what removes blobs. Some repositories share one.
	busy  *sync.RWMutex
	known *indexes
}

// uploadsFolder holds the uploads of a repository.
const uploadsFolder = "_uploads"

// repository is the one with a name that has been checked.
func (s *Server) repository(name string) *repository {
	sum := 0
	for _, c := range []byte(name) {
		sum = sum*31 + int(c)
	}
	return &repository{name: name, dir: filepath.Join(s.root, folderOf(name)), busy: &s.busy[uint(sum)%uint(len(s.busy))], known: &s.indexes}
}

// index is the index of a repository, which the caller does not change. One that doesn't exist is refused as unknown.
func (r *repository) index() (ocispec.Index, error) {
	file := filepath.Join(r.dir, ocispec.ImageIndexFile)
	info, err := os.Stat(file)
	if err != nil {
		return ocispec.Index{}, missing(err, nameUnknown(r.name))
	}
	if index, known := r.known.get(r.dir, info); known {
		return index, nil
	}
	index, err := r.readIndex()
	if err == nil {
		r.known.put(r.dir, info, index)
	}
	return index, err
}

// readIndex reads the index.
func (r *repository) readIndex() (ocispec.Index, error) {
	var index ocispec.Index
	text, err := os.ReadFile(filepath.Join(r.dir, ocispec.ImageIndexFile))
	if err != nil {
		return index, missing(err, nameUnknown(r.name))
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return index, fmt.Errorf("%s: %w", filepath.Join(r.dir, ocispec.ImageIndexFile), err)
	}
	return index, nil
}

// update changes the index under the lock of the layout. Where change fails nothing is written.
func (r *repository) update(change func(*ocispec.Index) error) error {
	lock, err := openLock(filepath.Join(r.dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return err
	}
	index, err := r.readIndex()
	if unknown := new(refusal); errors.As(err, &unknown) {
		index = ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
		index.SchemaVersion = 2
	} else if err != nil {
		return err
	}
	if err := change(&index); err != nil {
		return err
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(r.dir, ocispec.ImageIndexFile), text)
}

// openLock opens a lock file that no other user may open: who can read a file can lock it, and hold up everybody else.
func openLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm() != 0o600 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// flock takes a lock on a file, and waits for it. Signals that the Go runtime sends itself don't end the wait.
func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			return os.NewSyscallError("flock "+f.Name(), err)
		}
	}
}

// replaceFile writes a file so that it has the old content or the new one, whenever the machine stops. The caller holds the lock of its
// folder, so what another has left of the temporary file is overwritten.
func replaceFile(name string, text []byte) error {
	temporary := temporaryOf(name)
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// temporaryOf is the file that becomes name once it is whole. Its underscore keeps it from being the folder of a repository.
func temporaryOf(name string) string {
	return filepath.Join(filepath.Dir(name), "_"+filepath.Base(name)+".new")
}

// syncFolder makes what was renamed in a folder last.
func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// create makes the folder a layout, if it is none.
func (r *repository) create() error {
	if _, err := os.Stat(filepath.Join(r.dir, ocispec.ImageIndexFile)); err == nil {
		return nil
	}
	for _, a := range algorithms() {
		err := again(func() error { return os.MkdirAll(filepath.Join(r.dir, ocispec.ImageBlobsDir, a.String()), 0o755) })
		if err != nil {
			return err
		}
	}
	dir := filepath.Join(r.dir, ocispec.ImageBlobsDir)
	for range strings.Count(r.name, "/") + 3 { // up to the root
		if err := syncFolder(dir); err != nil {
			return err
		}
		dir = filepath.Dir(dir)
	}
	return r.update(func(*ocispec.Index) error {
		text, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
		if err != nil {
			return err
		}
		return replaceFile(filepath.Join(r.dir, ocispec.ImageLayoutFile), text)
	})
}

// blob is the path of a blob, whether it is there or not.
func (r *repository) blob(d digest.Digest) string {
	return filepath.Join(r.dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// size is how many bytes a blob has. One that isn't there is refused as unknown.
func (r *repository) size(d digest.Digest) (int64, error) {
	n, err := sizeOf(r.blob(d))
	return n, missing(err, blobUnknown(r.name, d))
}

// sizeOf is the size of a regular file.
func sizeOf(name string) (int64, error) {
	info, err := os.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// open opens a blob. One that isn't there is refused as unknown.
func (r *repository) open(d digest.Digest) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(r.blob(d), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, missing(err, blobUnknown(r.name, d))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, nil, missing(err, blobUnknown(r.name, d))
	}
	return f, info, nil
}

// missing is unknown where err says that there is no such file, and err where something else is wrong.
func missing(err, unknown error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return unknown
	}
	return err
}

// keep makes a blob young, so that the next collection leaves it alone: somebody relies on it. The caller holds busy.
func (r *repository) keep(d digest.Digest) error {
	now := time.Now()
	return missing(os.Chtimes(r.blob(d), now, now), blobUnknown(r.name, d))
}

// adopt makes a file, whose bytes have the digest, a blob. The caller holds busy. The file is gone afterwards. A blob of another size, which
// the disk has damaged, is replaced.
func (r *repository) adopt(file string, d digest.Digest) error {
	if err := r.create(); err != nil {
		return err
	}
	size, err := sizeOf(file)
	if err != nil {
		return err
	}
	if there, err := r.size(d); err == nil && there == size && r.keep(d) == nil { // it has come before: don't part it from its hard links
		return os.Remove(file)
	}
	now := time.Now() // the last byte may have come long ago
	if err := os.Chtimes(file, now, now); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.blob(d)), 0o755); err != nil {
		return err
	}
	if err := os.Rename(file, r.blob(d)); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(r.blob(d)))
}

// mount takes over a blob from another repository.
func (r *repository) mount(d digest.Digest, from *repository) error {
	r.busy.RLock()
	defer r.busy.RUnlock()
	if _, err := from.size(d); err != nil {
		return err
	}
	if err := r.create(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.blob(d)), 0o755); err != nil {
		return err
	}
	err := os.Link(from.blob(d), r.blob(d))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return missing(err, blobUnknown(from.name, d))
	}
	if err := r.keep(d); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(r.blob(d)))
}

// read reads a blob that is a manifest, or might be one.
func (r *repository) read(d digest.Digest) ([]byte, error) {
	f, info, err := r.open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > maxManifest {
		return nil, manifestUnknown(r.name, d.String())
	}
	return io.ReadAll(io.LimitReader(f, maxManifest))
}

// tag is the name that an entry of the index has, or nothing.
func tag(entry ocispec.Descriptor) string { return entry.Annotations[ocispec.AnnotationRefName] }

// tagsOf lists the tags of an index in the order of their bytes. Names of entries that are no tags, which other programs
// may have written, are left out: nobody could ask for them.
func tagsOf(index ocispec.Index) []string {
	var list []string
	for _, entry := range index.Manifests {
		if name := tag(entry); tagGrammar.MatchString(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
