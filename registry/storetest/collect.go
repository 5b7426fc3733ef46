// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
)

// runCollect runs the tests of a garbage collection.
func runCollect(t *testing.T, o Options) {
	tests := map[string]func(*testing.T, registry.Store, func()){
		"collect":              testCollect,
		"collect index":        testCollectIndex,
		"collect sparse index": testCollectSparse,
		"collect and lease":    testCollectLease,
		"collect and copy":     testCollectCopy,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := o.Open(t)
			test(t, s, func() {
				t.Helper()
				if err := o.Collect(context.WithoutCancel(t.Context()), s); err != nil {
					t.Errorf("collect: %v", err)
				}
			})
		})
	}
}

// testCollect removes what has no name, and not what shares a layer with it.
func testCollect(t *testing.T, s registry.Store, collect func()) {
	common, own := Bytes("common", 1000), Bytes("own", 1000)
	kept := Sample(t, s, "linux/amd64", common)
	gone := Sample(t, s, "linux/amd64", common, own)
	nameless := Sample(t, s, "linux/amd64", Bytes("nameless", 10))
	tag(t, s, kept, "kept")
	tag(t, s, gone, "gone")
	tag(t, s, nameless, nameless.Digest.String())
	collect()
	Same(t, s, gone)
	if err := s.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	collect()
	Same(t, s, kept)
	Same(t, s, nameless)
	exists(t, s, gone, false)
	exists(t, s, Describe(own), false)
}

// testCollectIndex keeps all that an index leads to.
func testCollectIndex(t *testing.T, s registry.Store, collect func()) {
	inner := Index(t, s, Sample(t, s, "linux/arm64", Bytes("arm64", 10)))
	top := Index(t, s, Sample(t, s, "linux/amd64", Bytes("amd64", 10)), inner)
	tag(t, s, top, "index")
	collect()
	Same(t, s, top)
}

// testCollectSparse tolerates that an index lists a manifest that is not there.
func testCollectSparse(t *testing.T, s registry.Store, collect func()) {
	here, elsewhere := Sample(t, s, "linux/amd64", Bytes("amd64", 10)), Sample(t, memory.New(), "linux/arm64", Bytes("arm64", 10))
	top := Index(t, s, here, elsewhere)
	tag(t, s, top, "sparse")
	collect()
	Same(t, s, here)
	exists(t, s, top, true)
}

// testCollectLease keeps what a lease has pushed, asked for or resolved.
func testCollectLease(t *testing.T, s registry.Store, collect func()) {
	asked, resolved := Bytes("asked", 10), Sample(t, s, "linux/amd64", Bytes("resolved", 10))
	push(t, s, Describe(asked), asked)
	view, release, err := s.(registry.Leaser).Lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pushed := Sample(t, view, "linux/amd64", Bytes("pushed", 10))
	exists(t, view, Describe(asked), true)
	resolve(t, view, resolved.Digest.String(), resolved)
	collect()
	Same(t, s, pushed)
	Same(t, s, resolved)
	exists(t, s, Describe(asked), true)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	collect()
	for _, d := range []ocispec.Descriptor{pushed, resolved, Describe(asked)} {
		exists(t, s, d, false)
	}
}

// testCollectCopy collects all the time while images are copied, named, and their names deleted.
func testCollectCopy(t *testing.T, s registry.Store, collect func()) {
	source := memory.New()
	const images = 5
	var tops []ocispec.Descriptor
	for i := range images {
		tops = append(tops, Sample(t, source, "linux/amd64", Bytes("common", 100_000), Bytes(fmt.Sprint(i), 1000)))
	}
	done := make(chan struct{})
	var collector, copiers sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				collect()
			}
		}
	})
	for i, top := range tops {
		name := fmt.Sprintf("image-%d", i)
		copiers.Go(func() {
			for round := range 10 {
				if _, err := registry.Copy(t.Context(), s, name, source, top.Digest.String(), registry.CopyOptions{}); err != nil {
					t.Errorf("copy %s: %v", name, err)
					return
				}
				if round == 9 {
					return // the last one stays
				}
				if err := s.Delete(t.Context(), name); err != nil {
					t.Errorf("delete %s: %v", name, err)
				}
			}
		})
	}
	copiers.Wait()
	close(done)
	collector.Wait()
	for _, top := range tops {
		Same(t, s, top)
	}
}
