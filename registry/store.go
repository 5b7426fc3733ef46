// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"io"
	"iter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Errors that callers tell apart, with errors.Is.
var (
	// ErrNotFound says that a store has no such blob, manifest or name.
	ErrNotFound = errors.New("not found")
	// ErrDigest says that bytes don't have the digest or the size that their descriptor names.
	ErrDigest = errors.New("wrong digest")
	// ErrUnsupported says that a store can't do what is asked, such as deleting from a registry that forbids it.
	ErrUnsupported = errors.New("not supported")
	// ErrReadOnly says that a store takes nothing.
	ErrReadOnly = errors.New("read-only")
)

// Store is a place that keeps blobs and manifests by digest, and names for manifests: a folder, memory, one repository of a
// registry. A manifest is a blob of which a store knows by its media type that it is one. All methods may be called by
// several goroutines at once.
//
// What ref means is the store's matter: in a folder or memory any name, in a repository a tag. A digest in place of a name
// means that very manifest everywhere.
type Store interface {
	// Fetch opens a blob or manifest. The reader gives exactly d.Size bytes and fails with [ErrDigest] instead of io.EOF where
	// they don't have d.Digest; who reads to the end needs no check of his own. It may be an [io.Seeker].
	Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)

	// Push keeps what r gives under d.Digest. Bytes that don't have it, or are more or fewer than d.Size, are refused
	// with [ErrDigest], and nothing is kept. What the store has already is not read. Where r is an [io.Seeker] the store may
	// begin in the middle, or again.
	Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error

	// Exists tells whether the store has a blob or manifest.
	Exists(ctx context.Context, d ocispec.Descriptor) (bool, error)

	// Resolve returns the descriptor of the manifest that has a name, or a digest.
	Resolve(ctx context.Context, ref string) (ocispec.Descriptor, error)

	// Tag gives a manifest that the store has a name, which another loses if it had it. The manifest's own digest as the name keeps it
	// without one. The descriptor's annotations and platform are kept with the name where the store keeps such.
	Tag(ctx context.Context, d ocispec.Descriptor, ref string) error

	// Delete removes a name; or, by digest, a manifest with all its names. What nothing refers to any more is left to the store's
	// garbage collection.
	Delete(ctx context.Context, ref string) error
}

// Named is a name that a store has given to a manifest; Name is empty for a manifest that is kept without one.
type Named struct {
	Name       string
	Descriptor ocispec.Descriptor
}

// Lister is a store that can list its names, in the order of their bytes.
type Lister interface {
	Tags(ctx context.Context) iter.Seq2[string, error]
}

// Mounter is a store that can take a blob over from another repository of the same registry without moving its bytes.
type Mounter interface {
	// Mount reports whether it did; false without an error means that the bytes have to be pushed.
	Mount(ctx context.Context, d ocispec.Descriptor, from Store) (bool, error)
}

// Referrer is a store that knows which manifests refer to another by their subject (image-spec, "subject").
type Referrer interface {
	// Referrers lists them; artifactType "" means all.
	Referrers(ctx context.Context, d ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error)
}

// Leaser is a store with a garbage collection that may run beside a copy.
type Leaser interface {
	// Lease returns a view of the store: all that is pushed through it, that it says exists, or that it resolves is safe from the
	// collection, with all that manifests among it name, until release is called (or the process ends).
	Lease(ctx context.Context) (view Store, release func() error, err error)
}

// Hold leases a store, if it is a [Leaser]. One without a garbage collection, or that can't be written to and so not be collected
// either, it returns as it is.
func Hold(ctx context.Context, s Store) (Store, func() error, error) {
	nothing := func() error { return nil }
	l, is := s.(Leaser)
	if !is {
		return s, nothing, nil
	}
	view, release, err := l.Lease(ctx)
	if errors.Is(err, ErrReadOnly) {
		return s, nothing, nil
	}
	return view, release, err
}
