// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// strict is a store that takes a manifest only after all it names, as registries do, and writes down what it is told.
type strict struct {
	registry.Store
	t *testing.T

	mu  sync.Mutex
	log []string
}

func (s *strict) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if err := s.Store.Push(ctx, d, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, kind(d.MediaType))
	if !registry.MayLink(d) {
		return nil
	}
	below, err := registry.Links(ctx, s.Store, d)
	if err != nil {
		s.t.Error(err)
	}
	for _, b := range below {
		if has, err := s.Exists(ctx, b); !has || err != nil {
			s.t.Errorf("%s came before its %s", kind(d.MediaType), kind(b.MediaType))
		}
	}
	return nil
}

func (s *strict) Tag(ctx context.Context, d ocispec.Descriptor, ref string) error {
	s.mu.Lock()
	s.log = append(s.log, "name "+ref)
	s.mu.Unlock()
	return s.Store.Tag(ctx, d, ref)
}

// kind is a short word for a media type.
func kind(mediaType string) string {
	for _, word := range []string{"index", "manifest", "config", "layer"} {
		if strings.Contains(mediaType, word) {
			return word
		}
	}
	return mediaType
}

// source is a store with an index of two images in an index, called "top": five distinct layers, one of them in three images.
func source(t *testing.T) (*memory.Memory, ocispec.Descriptor) {
	t.Helper()
	s := memory.New()
	common := storetest.Bytes("common", 600_000)
	inner := storetest.Index(t, s,
		storetest.Sample(t, s, "linux/arm64", common, storetest.Bytes("arm64", 10)),
		storetest.Sample(t, s, "linux/arm/v7", common, storetest.Bytes("v7", 10), storetest.Bytes("v7", 10)))
	top := storetest.Index(t, s, storetest.Sample(t, s, "linux/amd64", common, storetest.Bytes("amd64", 10)), inner)
	if err := s.Tag(t.Context(), top, "top"); err != nil {
		t.Fatal(err)
	}
	return s, top
}

// TestCopyOrder looks at the order in which things come, and that each comes once.
func TestCopyOrder(t *testing.T) {
	src, top := source(t)
	dst := &strict{Store: memory.New(), t: t}
	if _, err := registry.Copy(t.Context(), dst, "copy", src, "top", registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(slices.Repeat([]string{"config"}, 3), slices.Repeat([]string{"layer"}, 4),
		[]string{"manifest", "manifest", "manifest", "index", "index", "name copy"})
	if diff := cmp.Diff(want, dst.log); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	storetest.Same(t, dst, top)
}

// TestCopied is called first for the configuration, then for each layer, of every manifest.
func TestCopied(t *testing.T) {
	src, top := source(t)
	var mu sync.Mutex
	calls := map[digest.Digest][]digest.Digest{} // by configuration
	dst := memory.New()
	note := func(ctx context.Context, m ocispec.Manifest, d ocispec.Descriptor) error {
		if has, err := dst.Exists(ctx, d); !has || err != nil {
			t.Errorf("told of %s before it was there: %v", d.Digest, err)
		}
		mu.Lock()
		defer mu.Unlock()
		calls[m.Config.Digest] = append(calls[m.Config.Digest], d.Digest)
		return nil
	}
	for round := range 2 { // also for what exists
		clear(calls)
		if _, err := registry.Copy(t.Context(), dst, "copy", src, top.Digest.String(), registry.CopyOptions{Copied: note}); err != nil {
			t.Fatal(err)
		}
		lengths := map[int]int{}
		for config, blobs := range calls {
			if blobs[0] != config {
				t.Errorf("round %d: the first call was for %s, not the configuration", round, blobs[0])
			}
			lengths[len(blobs)]++
		}
		if diff := cmp.Diff(map[int]int{3: 3}, lengths); diff != "" {
			t.Errorf("round %d: calls by manifest (-want +got):\n%s", round, diff)
		}
	}
	failure := errors.New("no")
	_, err := registry.Copy(t.Context(), memory.New(), "copy", src, "top", registry.CopyOptions{
		Copied: func(context.Context, ocispec.Manifest, ocispec.Descriptor) error { return failure },
	})
	if !errors.Is(err, failure) {
		t.Errorf("copy: %v, want the error of Copied", err)
	}
}

// gate is a store whose layers are readable only once enough readers are there at once.
type gate struct {
	registry.Store
	want    int
	readers atomic.Int32
	most    atomic.Int32
	open    chan struct{}
	once    sync.Once
}

func (g *gate) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	r, err := g.Store.Fetch(ctx, d)
	if err != nil || kind(d.MediaType) != "layer" {
		return r, err
	}
	n := g.readers.Add(1)
	for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
	}
	if int(n) == g.want {
		g.once.Do(func() { close(g.open) })
	}
	select {
	case <-g.open:
		return gated{r, g}, nil
	case <-ctx.Done():
		g.readers.Add(-1)
		return nil, errors.Join(context.Cause(ctx), r.Close())
	}
}

// gated counts down when it is closed.
type gated struct {
	io.ReadCloser
	g *gate
}

func (r gated) Close() error {
	r.g.readers.Add(-1)
	return r.ReadCloser.Close()
}

// TestCopyConcurrency copies as many blobs at once as it is told, and not more.
func TestCopyConcurrency(t *testing.T) {
	for want, option := range map[int]int{4: 0, 1: 1, 7: 7} {
		t.Run(fmt.Sprint(option), func(t *testing.T) {
			inner := memory.New()
			var layers [][]byte
			for i := range 20 {
				layers = append(layers, storetest.Bytes(fmt.Sprint(i), 5000))
			}
			d := storetest.Sample(t, inner, "linux/amd64", layers...)
			src := &gate{Store: inner, want: want, open: make(chan struct{})}
			dst := memory.New()
			// With fewer at once the gate never opens.
			if _, err := registry.Copy(t.Context(), dst, "x", src, d.Digest.String(), registry.CopyOptions{Concurrency: option}); err != nil {
				t.Fatal(err)
			}
			if got := int(src.most.Load()); got != want {
				t.Errorf("%d readers at once, want %d", got, want)
			}
			storetest.Same(t, dst, d)
		})
	}
}

// faulty is a store that lacks one layer.
type faulty struct {
	*gate
	lacks digest.Digest
	err   error
}

func (f *faulty) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if d.Digest == f.lacks {
		return nil, f.err
	}
	return f.gate.Fetch(ctx, d)
}

// TestCopyFirstError ends all other blobs, which would wait for ever, and gives no name.
func TestCopyFirstError(t *testing.T) {
	inner := memory.New()
	var layers [][]byte
	for i := range 10 {
		layers = append(layers, storetest.Bytes(fmt.Sprint(i), 5000))
	}
	d := storetest.Sample(t, inner, "linux/amd64", layers...)
	failure := errors.New("the cable was cut")
	src := &faulty{&gate{Store: inner, want: 100, open: make(chan struct{})}, storetest.Describe(layers[3]).Digest, failure}
	dst := memory.New()
	if _, err := registry.Copy(t.Context(), dst, "x", src, d.Digest.String(), registry.CopyOptions{}); !errors.Is(err, failure) {
		t.Errorf("copy: %v, want the first error", err)
	}
	if _, err := dst.Resolve(t.Context(), "x"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("resolve: %v, want ErrNotFound", err)
	}
	if n := src.readers.Load(); n != 0 {
		t.Errorf("%d readers still open", n)
	}
}

// TestCopyCancel ends a copy that waits for ever.
func TestCopyCancel(t *testing.T) {
	inner := memory.New()
	d := storetest.Sample(t, inner, "linux/amd64", storetest.Bytes("a", 5000), storetest.Bytes("b", 5000))
	src := &gate{Store: inner, want: 100, open: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := registry.Copy(ctx, memory.New(), "x", src, d.Digest.String(), registry.CopyOptions{Progress: func(e registry.Event) {
		if e.Stage == registry.Done && kind(e.Descriptor.MediaType) == "config" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("copy: %v, want context.Canceled", err)
	}
}

// TestProgress is told by one goroutine at a time, in order for each blob, up to its size.
func TestProgress(t *testing.T) {
	src, _ := source(t)
	var busy atomic.Bool
	last := map[digest.Digest]registry.Event{}
	steps := 0
	progress := func(e registry.Event) {
		if !busy.CompareAndSwap(false, true) {
			t.Error("told by two at once")
		}
		defer busy.Store(false)
		for range 100 { // let another one in, if it can
			runtime.Gosched()
		}
		before := last[e.Descriptor.Digest]
		if before.Stage == registry.Done || e.Stage != registry.Started && before.Stage == 0 || e.Offset < before.Offset {
			t.Errorf("%+v after %+v", e, before)
		}
		if e.Stage == registry.Progressed {
			steps++
		}
		last[e.Descriptor.Digest] = e
	}
	dst := memory.New()
	if _, err := registry.Copy(t.Context(), dst, "x", src, "top", registry.CopyOptions{Progress: progress}); err != nil {
		t.Fatal(err)
	}
	for name, e := range last {
		if e.Stage != registry.Done || e.Offset != e.Descriptor.Size {
			t.Errorf("%s ended with %+v", name, e)
		}
	}
	if len(last) != 12 || steps == 0 {
		t.Errorf("told of %d, with %d steps", len(last), steps)
	}
	existed := 0
	_, err := registry.Copy(t.Context(), dst, "y", src, "top", registry.CopyOptions{Progress: func(e registry.Event) {
		if e.Stage == registry.Existed {
			existed++
		}
	}})
	if err != nil || existed != 12 {
		t.Errorf("again: %d existed, %v; want 12", existed, err)
	}
}

// mounting is a store that mounts all layers from a source that it knows.
type mounting struct {
	*memory.Memory
	known  registry.Store
	pushes atomic.Int32
}

func (m *mounting) Lease(context.Context) (registry.Store, func() error, error) {
	return nil, nil, registry.ErrReadOnly // it is its own view
}

func (m *mounting) Push(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	if kind(d.MediaType) == "layer" {
		m.pushes.Add(1)
	}
	return m.Memory.Push(ctx, d, r)
}

func (m *mounting) Mount(ctx context.Context, d ocispec.Descriptor, from registry.Store) (bool, error) {
	if kind(d.MediaType) != "layer" || from != m.known {
		return false, nil
	}
	r, err := from.Fetch(ctx, d)
	if err != nil {
		return false, err
	}
	defer r.Close()
	return true, m.Memory.Push(ctx, d, r)
}

// TestMount moves no layer that the destination can take over, and knows the source by itself although it is leased.
func TestMount(t *testing.T) {
	inner, top := source(t)
	src := struct{ registry.Store }{inner} // a store without leases
	for name, known := range map[string]registry.Store{"same registry": src, "another": nil} {
		t.Run(name, func(t *testing.T) {
			dst := &mounting{Memory: memory.New(), known: known}
			mounted := int32(0)
			_, err := registry.Copy(t.Context(), dst, "x", src, "top", registry.CopyOptions{Progress: func(e registry.Event) {
				if e.Stage == registry.Mounted {
					mounted++
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if mounted+dst.pushes.Load() != 4 || (known != nil) != (mounted == 4) {
				t.Errorf("mounted %d, pushed %d", mounted, dst.pushes.Load())
			}
			storetest.Same(t, dst, top)
		})
	}
}

// TestCopyPlatform copies the manifest for a platform alone.
func TestCopyPlatform(t *testing.T) {
	src, top := source(t)
	dst := memory.New()
	want := &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v8"}
	d, err := registry.Copy(t.Context(), dst, "x", src, "top", registry.CopyOptions{Platform: want})
	if err != nil {
		t.Fatal(err)
	}
	if d.Platform == nil || d.Platform.Variant != "v7" || d.Annotations[registry.AnnotationIndex] != top.Digest.String() {
		t.Errorf("copied %+v", d)
	}
	got, err := dst.Resolve(t.Context(), "x")
	if diff := cmp.Diff(d, got); err != nil || diff != "" {
		t.Errorf("resolved, %v (-copied +resolved):\n%s", err, diff)
	}
	storetest.Same(t, dst, d)
	if has, _ := dst.Exists(t.Context(), top); has {
		t.Error("the index was copied too")
	}
	_, err = registry.Copy(t.Context(), dst, "x", src, "top", registry.CopyOptions{Platform: &ocispec.Platform{OS: "windows", Architecture: "amd64"}})
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "no image for platform windows/amd64, there is linux/amd64, linux/arm64, linux/arm/v7") {
		t.Errorf("copy for windows: %v", err)
	}
}

// TestCopySparse copies an index of which the source has one image only where it is told to.
func TestCopySparse(t *testing.T) {
	src := memory.New()
	here, elsewhere := storetest.Sample(t, src, "linux/amd64", []byte("a")), storetest.Sample(t, memory.New(), "linux/arm64", []byte("b"))
	top := storetest.Index(t, src, here, elsewhere)
	if _, err := registry.Copy(t.Context(), memory.New(), "x", src, top.Digest.String(), registry.CopyOptions{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("copy: %v, want ErrNotFound", err)
	}
	dst := memory.New()
	if _, err := registry.Copy(t.Context(), dst, "x", src, top.Digest.String(), registry.CopyOptions{Sparse: true}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, dst, here)
	if d, err := dst.Resolve(t.Context(), "x"); err != nil || d.Digest != top.Digest {
		t.Errorf("resolve: %+v, %v", d, err)
	}
}
