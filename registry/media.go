// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The media types of Docker's image format, version 2 schema 2. A manifest, an index (Docker: list) and a configuration have the
// same form as OCI's.
const (
	MediaTypeDockerManifest  = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerIndex     = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerConfig    = "application/vnd.docker.container.image.v1+json"
	MediaTypeDockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	MediaTypeDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Prefixes of the media types that are refused.
const (
	foreignDocker = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	foreignOCI    = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	schema1       = "application/vnd.docker.distribution.manifest.v1+"
)

// IsManifest tells whether a media type is that of an image manifest.
func IsManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == MediaTypeDockerManifest
}

// IsIndex tells whether a media type is that of a list of manifests.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerIndex
}

// IsConfig tells whether a media type is that of an image's configuration. A manifest with another configuration is no image
// but an artifact, such as a signature or a chart.
func IsConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == MediaTypeDockerConfig
}

// IsForeign tells whether a media type is that of a layer that registries may not distribute: a descriptor has the URLs of
// it instead. There are some in old images of Windows.
func IsForeign(mediaType string) bool {
	return strings.HasPrefix(mediaType, foreignDocker) || strings.HasPrefix(mediaType, foreignOCI)
}

// refuseSchema1 is the error for a manifest of Docker's first image format, nil for others.
func refuseSchema1(d ocispec.Descriptor) error {
	if !strings.HasPrefix(d.MediaType, schema1) {
		return nil
	}
	return fmt.Errorf("manifest %s is of Docker's first image format (schema 1), which nobody has made since 2017: build or push the image anew: %w", d.Digest, ErrUnsupported)
}

// refuseForeign is the error for a layer that may not be distributed, nil for others.
func refuseForeign(d ocispec.Descriptor) error {
	if !IsForeign(d.MediaType) {
		return nil
	}
	where := "nowhere"
	if len(d.URLs) > 0 {
		where = strings.Join(d.URLs, " and ")
	}
	return fmt.Errorf("layer %s is foreign (%s), to be had from %s and not from a registry: choose a platform or version of the image without such layers: %w",
		d.Digest, d.MediaType, where, ErrUnsupported)
}
