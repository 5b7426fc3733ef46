// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// pushText pushes a text as it is.
func pushText(t *testing.T, s registry.Store, mediaType, text string) ocispec.Descriptor {
	t.Helper()
	d, err := registry.PushBytes(t.Context(), s, mediaType, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCopyRefuses copies what a hostile or odd source has.
func TestCopyRefuses(t *testing.T) {
	const manifest, index = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	head := func(s registry.Store) string {
		text, _ := json.Marshal(pushText(t, s, ocispec.MediaTypeImageConfig, `{}`))
		return string(text)
	}
	missing := storetest.Describe([]byte("missing"))
	missing.MediaType = registry.MediaTypeDockerLayerGzip
	foreign := fmt.Sprintf(`{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"%s","size":7,"urls":["https://example.org/layer"]}`, missing.Digest)
	tests := map[string]struct {
		top   func(s registry.Store) ocispec.Descriptor
		wants []string
	}{
		"schema 1": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`)
		}, []string{"schema 1", "build or push the image anew"}},
		"schema 1 that says otherwise": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":1,"fsLayers":[]}`)
		}, []string{"schema 1"}},
		"foreign layer": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"config":`+head(s)+`,"layers":[`+foreign+`]}`)
		}, []string{missing.Digest.String(), "foreign", "https://example.org/layer", "choose a platform"}},
		"no image": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, "text/plain", "hello")
		}, []string{"neither an image nor an index", "text/plain"}},
		"manifest and index in one": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"config":`+head(s)+`,"layers":[],"manifests":[]}`)
		}, []string{"a manifest and an index in one"}},
		"index and manifest in one": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, index, `{"schemaVersion":2,"layers":[],"manifests":[]}`)
		}, []string{"a manifest and an index in one"}},
		"another media type": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"mediaType":"`+index+`","config":`+head(s)+`,"layers":[]}`)
		}, []string{"its descriptor says"}},
		"index without manifests": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, index, `{"schemaVersion":2}`)
		}, []string{"no list of manifests"}},
		"manifest without configuration": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"layers":[]}`)
		}, []string{"no configuration"}},
		"no JSON": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `]`)
		}, []string{"invalid character"}},
		"digest that is a path": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"config":`+head(s)+`,"layers":[{"digest":"sha256:../../x","size":1}]}`)
		}, []string{"sha256:../../x"}},
		"negative size": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"config":`+head(s)+`,"layers":[{"digest":"`+missing.Digest.String()+`","size":-1}]}`)
		}, []string{"size is -1"}},
		"huge manifest": {func(s registry.Store) ocispec.Descriptor {
			return pushText(t, s, manifest, `{"schemaVersion":2,"config":`+head(s)+`,"layers":[]}`+strings.Repeat(" ", registry.MaxManifest))
		}, []string{"at most 4194304 are read"}},
		"deep indexes": {func(s registry.Store) ocispec.Descriptor {
			d := storetest.Index(t, s)
			for range 8 {
				d = storetest.Index(t, s, d)
			}
			return d
		}, []string{"more than 8 deep"}},
		"many manifests": {func(s registry.Store) ocispec.Descriptor {
			var all []ocispec.Descriptor
			for i := range 10_001 {
				all = append(all, ocispec.Descriptor{MediaType: "x", Digest: digest.FromString(fmt.Sprint(i))})
			}
			return storetest.Index(t, s, all...)
		}, []string{"more than 10000 manifests"}},
		"missing layer": {func(s registry.Store) ocispec.Descriptor {
			d, err := registry.PushManifest(t.Context(), s, ocispec.Manifest{Config: pushText(t, s, ocispec.MediaTypeImageConfig, `{}`), Layers: []ocispec.Descriptor{missing}})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}, []string{missing.Digest.String(), "not found"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			src, dst := memory.New(), memory.New()
			top := test.top(src)
			if err := src.Tag(t.Context(), top, "top"); err != nil {
				t.Fatal(err)
			}
			_, err := registry.Copy(t.Context(), dst, "copy", src, "top", registry.CopyOptions{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.wants {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if _, err := dst.Resolve(t.Context(), "copy"); !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("it has the name all the same: %v", err)
			}
		})
	}
}

// TestDeepIndexes copies what is just not too deep, and chooses a platform there.
func TestDeepIndexes(t *testing.T) {
	src, dst := memory.New(), memory.New()
	image := storetest.Sample(t, src, "linux/amd64", []byte("x"))
	d := image
	for range 7 {
		d = storetest.Index(t, src, d)
		d.Platform = nil
	}
	if _, err := registry.Copy(t.Context(), dst, "copy", src, d.Digest.String(), registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, dst, d)
	got, err := registry.ResolvePlatform(t.Context(), dst, d, *image.Platform)
	if err != nil || got.Digest != image.Digest || got.Annotations[registry.AnnotationIndex] != d.Digest.String() {
		t.Errorf("resolve platform: %+v, %v", got, err)
	}
	d = storetest.Index(t, src, storetest.Index(t, src, d))
	if _, err := registry.ResolvePlatform(t.Context(), src, d, *image.Platform); err == nil || !strings.Contains(err.Error(), "more than 8 deep") {
		t.Errorf("resolve platform in 9 indexes: %v", err)
	}
}

// TestCrowded reads documents of few bytes that would become very many objects in memory.
func TestCrowded(t *testing.T) {
	for name, crowd := range map[string]string{"objects": strings.Repeat(",{}", 40_000), "numbers": strings.Repeat(",1", 100_001), "nothing": strings.Repeat(",null", 100_001)} {
		t.Run(name, func(t *testing.T) {
			list := `[{}` + crowd + `]`
			s := memory.New()
			manifest := pushText(t, s, ocispec.MediaTypeImageManifest, `{"schemaVersion":2,"config":{},"layers":`+list+`}`)
			index := pushText(t, s, ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":`+list+`}`)
			config := pushText(t, s, ocispec.MediaTypeImageConfig, `{"history":`+list+`}`)
			_, manifestErr := registry.FetchManifest(t.Context(), s, manifest)
			_, indexErr := registry.FetchIndex(t.Context(), s, index)
			_, configErr := registry.FetchConfig(t.Context(), s, config)
			_, linksErr := registry.Links(t.Context(), s, manifest)
			for what, err := range map[string]error{"manifest": manifestErr, "index": indexErr, "configuration": configErr, "links": linksErr} {
				if err == nil || !strings.Contains(err.Error(), "more than 40000 objects") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}
