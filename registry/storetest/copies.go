// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
)

// testCopy copies an index with an index in it to the store, again, and from there to another.
func testCopy(t *testing.T, s registry.Store) {
	source := memory.New()
	common := Bytes("common", 300_000)
	inner := Index(t, source, Sample(t, source, "linux/arm64", common, Bytes("arm64", 5000)), Sample(t, source, "linux/arm/v7", common))
	top := Index(t, source, Sample(t, source, "linux/amd64", common, Bytes("amd64", 5000)), inner)
	tag(t, source, top, "source")

	copyOnce := func(dst, src registry.Store, from, to string) (moved int) {
		t.Helper()
		d, err := registry.Copy(t.Context(), dst, to, src, from, registry.CopyOptions{Progress: func(e registry.Event) {
			if e.Stage == registry.Done {
				moved++
			}
		}})
		if err != nil || d.Digest != top.Digest {
			t.Fatalf("copy: %s, %v; want %s", d.Digest, err, top.Digest)
		}
		return moved
	}
	// three configurations, the common layer and two others, three manifests, two indexes
	if moved := copyOnce(s, source, "source", "copy"); moved != 11 {
		t.Errorf("first copy moved %d, want 11", moved)
	}
	Same(t, s, top)
	resolve(t, s, "copy", top)
	if moved := copyOnce(s, source, top.Digest.String(), "copy2"); moved != 0 {
		t.Errorf("second copy moved %d", moved)
	}
	resolve(t, s, "copy2", top)
	back := memory.New()
	copyOnce(back, s, "copy2", "back")
	Same(t, back, top)
}

// testDockerTypes keeps the media types of Docker's manifests.
func testDockerTypes(t *testing.T, s registry.Store) {
	layer, config := Bytes(t.Name(), 1000), []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	l, c := Describe(layer), Describe(config)
	l.MediaType, c.MediaType = registry.MediaTypeDockerLayerGzip, registry.MediaTypeDockerConfig
	push(t, s, l, layer)
	push(t, s, c, config)
	d, err := registry.PushManifest(t.Context(), s, ocispec.Manifest{MediaType: registry.MediaTypeDockerManifest, Config: c, Layers: []ocispec.Descriptor{l}})
	if err != nil {
		t.Fatal(err)
	}
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	list, err := registry.PushIndex(t.Context(), s, ocispec.Index{MediaType: registry.MediaTypeDockerIndex, Manifests: []ocispec.Descriptor{d}})
	if err != nil {
		t.Fatal(err)
	}
	tag(t, s, list, "docker")
	resolve(t, s, "docker", list)
	resolve(t, s, d.Digest.String(), d)
	dst := memory.New()
	if _, err := registry.Copy(t.Context(), dst, "copy", s, "docker", registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	resolve(t, dst, "copy", list)
	Same(t, dst, list)
}

// testSubject keeps an artifact whose subject is not there, and lists it where the store can.
func testSubject(t *testing.T, s registry.Store) {
	subject := Sample(t, s, "linux/amd64", Bytes(t.Name(), 1000))
	push(t, s, ocispec.DescriptorEmptyJSON, []byte("{}"))
	gone := Describe([]byte("never pushed"))
	gone.MediaType = ocispec.MediaTypeImageManifest
	var artifacts []ocispec.Descriptor
	for _, of := range []ocispec.Descriptor{subject, gone} {
		m := ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "example/signature",
			Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}, Subject: &of,
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		push(t, s, d, data)
		artifacts = append(artifacts, d)
	}
	Same(t, s, artifacts[1])
	r, is := s.(registry.Referrer)
	if !is {
		t.Skip("not of this one: it does not list referrers")
	}
	for artifactType, want := range map[string]int{"": 1, "example/signature": 1, "example/other": 0} {
		got, err := r.Referrers(t.Context(), subject, artifactType)
		if err != nil || len(got) != want || want == 1 && got[0].Digest != artifacts[0].Digest {
			t.Errorf("referrers of type %q: %+v, %v; want %d", artifactType, got, err, want)
		}
	}
}

// testSameBlob pushes the same blob many times at once.
func testSameBlob(t *testing.T, s registry.Store) {
	data := Bytes(t.Name(), 500_000)
	d := Describe(data)
	var pushers sync.WaitGroup
	for range 8 {
		pushers.Go(func() {
			if err := s.Push(t.Context(), d, bytes.NewReader(data)); err != nil {
				t.Errorf("push: %v", err)
			}
		})
	}
	pushers.Wait()
	fetch(t, s, d)
}

// testManyAtOnce copies different images with a common layer at once, each with its own name.
func testManyAtOnce(t *testing.T, s registry.Store) {
	source := memory.New()
	common := Bytes("common", 200_000)
	const images = 8
	var tops []ocispec.Descriptor
	for i := range images {
		tops = append(tops, Sample(t, source, "linux/amd64", common, Bytes(fmt.Sprint(i), 1000)))
	}
	var copiers sync.WaitGroup
	for i, top := range tops {
		copiers.Go(func() {
			if _, err := registry.Copy(t.Context(), s, fmt.Sprintf("image-%d", i), source, top.Digest.String(), registry.CopyOptions{}); err != nil {
				t.Errorf("copy %d: %v", i, err)
			}
		})
	}
	copiers.Wait()
	if t.Failed() {
		return
	}
	for i, top := range tops {
		resolve(t, s, fmt.Sprintf("image-%d", i), top)
		Same(t, s, top)
	}
}
