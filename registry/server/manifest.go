// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/json"
	"mime"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// maxManifest is how many bytes a manifest may have: what the specification has registries accept at least.
const maxManifest = 4 << 20

// What a manifest or configuration may have: each member of a list takes a hundred times the memory of the text "{}," or "0,".
const (
	maxObjects = 40_000
	maxCommas  = 200_000
)

// crowded tells whether a text has so many members that it must not be decoded.
func crowded(text []byte) bool {
	return bytes.Count(text, []byte("{")) > maxObjects || bytes.Count(text, []byte(",")) > maxCommas
}

// manifest is what the server has to know of an image manifest or an index.
type manifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// isManifest tells whether a media type is that of an image manifest or an index.
func isManifest(mediaType string) bool {
	return registry.IsManifest(mediaType) || registry.IsIndex(mediaType)
}

// parseManifest understands a manifest and refuses what could be read in two ways: a body that calls itself something other than
// its media type, or is an image manifest and an index at once.
func parseManifest(contentType string, text []byte) (manifest, error) {
	var m manifest
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil || !isManifest(mediaType) {
		return m, manifestInvalid("the Content-Type %s is none of %s, %s, %s and %s", quote(contentType),
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, registry.MediaTypeDockerManifest, registry.MediaTypeDockerIndex)
	}
	if crowded(text) {
		return m, manifestInvalid("it has more than %d objects or %d commas", maxObjects, maxCommas)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, manifestInvalid("%v", err)
	}
	switch {
	case m.SchemaVersion != 2:
		return m, manifestInvalid("schemaVersion is %d, not 2", m.SchemaVersion)
	case m.MediaType != "" && m.MediaType != mediaType:
		return m, manifestInvalid("its mediaType is %s, the Content-Type %s", quote(m.MediaType), mediaType)
	case registry.IsIndex(mediaType) && (m.Config != nil || m.Layers != nil):
		return m, manifestInvalid("an index has no config and no layers")
	case !registry.IsIndex(mediaType) && m.Manifests != nil:
		return m, manifestInvalid("an image manifest has no manifests")
	case !registry.IsIndex(mediaType) && m.Config == nil:
		return m, manifestInvalid("it has no config")
	}
	m.MediaType = mediaType
	for _, d := range m.all() {
		if _, err := parseDigest(d.Digest.String()); err != nil || d.Size < 0 || d.MediaType == "" {
			return m, manifestInvalid("the descriptor with the digest %s, size %d and media type %s is none",
				quote(d.Digest.String()), d.Size, quote(d.MediaType))
		}
	}
	return m, nil
}

// all are the descriptors in a manifest.
func (m manifest) all() []ocispec.Descriptor {
	list := m.needs()
	if m.Subject != nil {
		list = append(list, *m.Subject)
	}
	return list
}

// needs are the descriptors of what a manifest is incomplete without. The subject is not among them: it may come later, or never.
func (m manifest) needs() []ocispec.Descriptor {
	list := slices.Concat(m.Manifests, m.Layers)
	if m.Config != nil {
		list = append(list, *m.Config)
	}
	return list
}

// foreign tells whether a layer may be elsewhere.
func foreign(d ocispec.Descriptor) bool { return len(d.URLs) > 0 || registry.IsForeign(d.MediaType) }

// artifactType is what a manifest is a kind of, as the referrers API has it.
func (m manifest) artifactType() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}
