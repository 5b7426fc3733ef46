// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// documents are seeds: manifests, indexes and configurations, whole and odd.
func documents() []string {
	const sum = `"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"`
	const blob = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":` + sum + `,"size":2}`
	return []string{
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":` + blob + `,"layers":[` + blob + `],"subject":` + blob + `,"annotations":{"a":"b"}}`,
		`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":` + blob + `,"layers":[]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":` + sum + `,"size":2,"platform":{"architecture":"arm","os":"linux","variant":"v7"}}]}`,
		`{"schemaVersion":2,"config":` + blob + `,"layers":[],"manifests":[]}`,
		`{"schemaVersion":1,"fsLayers":[{"blobSum":` + sum + `}]}`,
		`{"schemaVersion":2,"config":{"digest":"sha256:../x","size":-1},"layers":null}`,
		`{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","config":{"Env":["A=b"],"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[` + sum + `]},"history":[{"empty_layer":true}]}`,
		`{"rootfs":{"diff_ids":["x"]}}`, `null`, `[]`, `{}`, `"`, strings.Repeat(`[`, 1000),
	}
}

// described is the descriptor of bytes with a media type.
func described(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// whole fails unless a descriptor may be used for paths.
func whole(t *testing.T, d ocispec.Descriptor) {
	t.Helper()
	if d.Digest.Validate() != nil || strings.ContainsAny(d.Digest.Encoded(), "/.") || d.Size < 0 {
		t.Errorf("accepted %+v", d)
	}
}

// FuzzManifest decodes manifests: what is accepted is well-formed and no index.
func FuzzManifest(f *testing.F) {
	for _, text := range documents() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, mediaType := range []string{ocispec.MediaTypeImageManifest, registry.MediaTypeDockerManifest} {
			m, err := registry.DecodeManifest(described(mediaType, data), data)
			if err != nil {
				continue
			}
			whole(t, m.Config)
			for _, d := range m.Layers {
				whole(t, d)
			}
			if _, err := registry.DecodeIndex(described(ocispec.MediaTypeImageIndex, data), data); err == nil {
				t.Error("it is a manifest and an index")
			}
		}
	})
}

// FuzzIndex decodes indexes, and chooses from them.
func FuzzIndex(f *testing.F) {
	for _, text := range documents() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := registry.DecodeIndex(described(ocispec.MediaTypeImageIndex, data), data)
		if err != nil {
			return
		}
		for _, d := range x.Manifests {
			whole(t, d)
		}
		d, err := registry.ChoosePlatform(x.Manifests, ocispec.Platform{OS: "linux", Architecture: "arm64"})
		if err == nil && d.Platform != nil && !strings.EqualFold(d.Platform.OS, "linux") {
			t.Errorf("chose %+v", d.Platform)
		}
	})
}

// FuzzConfig decodes configurations.
func FuzzConfig(f *testing.F) {
	for _, text := range documents() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		image, err := registry.DecodeConfig(described(ocispec.MediaTypeImageConfig, data), data)
		if err != nil {
			return
		}
		for _, id := range image.RootFS.DiffIDs {
			whole(t, ocispec.Descriptor{Digest: id})
		}
		if _, err := json.Marshal(image); err != nil {
			t.Errorf("it can't be written again: %v", err)
		}
	})
}

// FuzzMediaType tells what documents are.
func FuzzMediaType(f *testing.F) {
	for _, text := range documents() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := registry.MediaTypeOf(data); got != "" && !registry.IsManifest(got) && !registry.IsIndex(got) {
			t.Errorf("it is %q", got)
		}
	})
}

// FuzzReference parses names: what is accepted has a tag or digest and is the same when parsed again.
func FuzzReference(f *testing.F) {
	for _, text := range []string{"busybox", "localhost:5000/a/b:c", "a@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "[::1]:5/a", "a/../b", "A", "a:b:c", "a b", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		named, err := registry.ParseReference(text)
		if err != nil {
			return
		}
		again, err := registry.ParseReference(named.String())
		if err != nil || again.String() != named.String() {
			t.Errorf("%q is %q, that is %v, %v", text, named, again, err)
		}
		familiar, err := registry.ParseReference(registry.Familiar(named.String()))
		if err != nil || familiar.String() != named.String() {
			t.Errorf("%q: the familiar form of %q is %q, that is %v, %v", text, named, registry.Familiar(named.String()), familiar, err)
		}
		if strings.Contains(named.String(), "..") || strings.ContainsAny(named.String(), " \x00\n\\") || registry.TagOrDigest(named) == "" {
			t.Errorf("%q is %q", text, named)
		}
	})
}

// FuzzPlatform parses platforms: what is accepted is the same when parsed again.
func FuzzPlatform(f *testing.F) {
	for _, text := range []string{"linux/amd64", "linux/arm/v7", "linux", "arm64", "linux/arm/7", "a/b/c", "///", "linux/386"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := registry.ParsePlatform(text)
		if err != nil {
			return
		}
		again, err := registry.ParsePlatform(registry.FormatPlatform(p))
		if err != nil || registry.FormatPlatform(again) != registry.FormatPlatform(p) {
			t.Errorf("%q is %+v, that is %+v, %v", text, p, again, err)
		}
		if _, err := registry.ChoosePlatform([]ocispec.Descriptor{{Platform: &p}}, p); err != nil {
			t.Errorf("%q does not fit itself: %v", text, err)
		}
	})
}

// FuzzVerify reads bytes as what they are not.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("hello"), []byte("hello"), int64(2))
	f.Add([]byte("hello"), []byte("hell"), int64(0))
	f.Fuzz(func(t *testing.T, data, other []byte, at int64) {
		r := registry.Verify(bytes.NewReader(other), described("", data))
		_, _ = r.(io.Seeker).Seek(at, io.SeekStart)
		_, err := io.ReadAll(r)
		if (err == nil) != bytes.Equal(data, other) {
			t.Errorf("%q for %q: %v", other, data, err)
		}
	})
}
