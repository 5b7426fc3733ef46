// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Memory is a store in memory. It is a [registry.Store], [registry.Lister], [registry.Leaser], [registry.Referrer] and
// [registry.Ingester].
type Memory struct {
	shared *state
	lease  map[digest.Digest]ocispec.Descriptor // of a view
}

// state is what a store and its views have in common.
type state struct {
	mu     sync.Mutex
	blobs  map[digest.Digest]blob
	names  map[string]ocispec.Descriptor // by name, or by digest without one
	leases map[*Memory]bool              // the views
}

// blob is what was pushed, and what it was said to be.
type blob struct {
	data       []byte
	descriptor ocispec.Descriptor
}

// New returns an empty store.
func New() *Memory {
	return &Memory{shared: &state{blobs: map[digest.Digest]blob{}, names: map[string]ocispec.Descriptor{}, leases: map[*Memory]bool{}}}
}

// Fetch opens a blob. What it returns can seek.
func (m *Memory) Fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	b, has := m.shared.blobs[d.Digest]
	if !has || int64(len(b.data)) != d.Size {
		return nil, fmt.Errorf("%s in memory: %w", d.Digest, registry.ErrNotFound)
	}
	return registry.Verify(bytes.NewReader(b.data), d), nil
}

// Push keeps a blob.
func (m *Memory) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if has, err := m.Exists(ctx, d); has || err != nil {
		return err
	}
	var data bytes.Buffer
	if _, err := data.ReadFrom(until{ctx, registry.Verify(r, d)}); err != nil {
		return err
	}
	m.keep(d, data.Bytes())
	return nil
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

// Ingest keeps bytes whose digest comes with the last of them.
func (m *Memory) Ingest(ctx context.Context, mediaType string, r io.Reader) (ocispec.Descriptor, error) {
	data, err := io.ReadAll(until{ctx, r})
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err == nil {
		m.keep(d, data)
	}
	return d, err
}

// keep adds a blob.
func (m *Memory) keep(d ocispec.Descriptor, data []byte) {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	m.shared.blobs[d.Digest] = blob{data, d}
	m.hold(d)
}

// hold adds to the lease of a view. Whoever calls has the lock.
func (m *Memory) hold(d ocispec.Descriptor) {
	if m.lease != nil {
		m.lease[d.Digest] = d
	}
}

// Exists tells whether there is a blob of that size.
func (m *Memory) Exists(_ context.Context, d ocispec.Descriptor) (bool, error) {
	if err := registry.CheckDescriptor(d); err != nil {
		return false, err
	}
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	m.hold(d)
	b, has := m.shared.blobs[d.Digest]
	return has && int64(len(b.data)) == d.Size, nil
}

// Resolve returns the manifest with a name, or any manifest by its digest.
func (m *Memory) Resolve(_ context.Context, ref string) (ocispec.Descriptor, error) {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	d, has := m.shared.names[ref]
	if by, is := registry.AsDigest(ref); is && !has {
		b := m.shared.blobs[by]
		d, has = b.descriptor, registry.IsManifest(b.descriptor.MediaType) || registry.IsIndex(b.descriptor.MediaType)
	}
	if !has {
		return d, fmt.Errorf("%q in memory: %w", ref, registry.ErrNotFound)
	}
	m.hold(d)
	return d, nil
}

// Tag gives a manifest a name; its digest as the name keeps it without one. A manifest that loses the name and has no other is
// kept without one, until it is deleted.
func (m *Memory) Tag(_ context.Context, d ocispec.Descriptor, ref string) error {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	b, has := m.shared.blobs[d.Digest]
	if by, is := registry.AsDigest(ref); ref == "" || is && by != d.Digest {
		return fmt.Errorf("manifest %s can't be called %q", d.Digest, ref)
	}
	if !has || int64(len(b.data)) != d.Size {
		return fmt.Errorf("tag %s in memory: manifest %s: %w", ref, d.Digest, registry.ErrNotFound)
	}
	loser, had := m.shared.names[ref]
	m.shared.names[ref] = d
	if had && !m.shared.named(loser.Digest) {
		m.shared.names[loser.Digest.String()] = loser
	}
	if d.Digest.String() != ref {
		delete(m.shared.names, d.Digest.String())
	}
	return nil
}

// named says whether a manifest has a name, or is kept without.
func (s *state) named(d digest.Digest) bool {
	for _, other := range s.names {
		if other.Digest == d {
			return true
		}
	}
	return false
}

// Delete removes a name, or by digest the manifest with all its names.
func (m *Memory) Delete(_ context.Context, ref string) error {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	before := len(m.shared.names)
	by, _ := registry.AsDigest(ref)
	maps.DeleteFunc(m.shared.names, func(name string, d ocispec.Descriptor) bool { return name == ref || d.Digest == by })
	if len(m.shared.names) == before {
		return fmt.Errorf("delete %q from memory: %w", ref, registry.ErrNotFound)
	}
	return nil
}

// Tags lists the names.
func (m *Memory) Tags(context.Context) iter.Seq2[string, error] {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.shared.names))
	return func(yield func(string, error) bool) {
		for _, name := range names {
			if _, is := registry.AsDigest(name); !is && !yield(name, nil) {
				return
			}
		}
	}
}

// Lease returns a view: what is pushed through it, what it is asked about and what it resolves is safe from [Memory.Collect].
func (m *Memory) Lease(context.Context) (registry.Store, func() error, error) {
	view := &Memory{shared: m.shared, lease: map[digest.Digest]ocispec.Descriptor{}}
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	m.shared.leases[view] = true
	return view, func() error {
		m.shared.mu.Lock()
		defer m.shared.mu.Unlock()
		delete(m.shared.leases, view)
		return nil
	}, nil
}

// Collect removes the blobs that neither a name leads to nor a lease.
func (m *Memory) Collect(ctx context.Context) error {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	roots := slices.Collect(maps.Values(m.shared.names))
	for view := range m.shared.leases {
		roots = slices.AppendSeq(roots, maps.Values(view.lease))
	}
	// The lock is held: what reads now reads a copy without one.
	frozen := New()
	frozen.shared.blobs = m.shared.blobs
	needed, err := registry.Reachable(ctx, frozen, roots...)
	if err != nil {
		return err
	}
	maps.DeleteFunc(m.shared.blobs, func(d digest.Digest, _ blob) bool { return !needed[d] })
	return nil
}

// Referrers lists the manifests whose subject is d.
func (m *Memory) Referrers(_ context.Context, d ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	var found []ocispec.Descriptor
	for _, b := range m.shared.blobs {
		manifest, err := registry.DecodeManifest(b.descriptor, b.data)
		if err != nil || manifest.Subject == nil || manifest.Subject.Digest != d.Digest {
			continue // also what is no manifest
		}
		r := ocispec.Descriptor{
			MediaType: b.descriptor.MediaType, Digest: b.descriptor.Digest, Size: b.descriptor.Size,
			ArtifactType: manifest.ArtifactType, Annotations: manifest.Annotations,
		}
		if r.ArtifactType == "" {
			r.ArtifactType = manifest.Config.MediaType
		}
		if artifactType == "" || artifactType == r.ArtifactType {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	return found, nil
}
