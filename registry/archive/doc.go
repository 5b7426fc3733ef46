// SPDX-License-Identifier: Apache-2.0

// Package archive reads and writes images in one file, a tar archive, of two forms.
//
// The Docker form is what "docker save" writes. Docker before version 25 writes manifest.json, which names a configuration and
// uncompressed layers by path, next to folders for programs that are older still:
//
//	manifest.json         [{"Config":"HEX.json","RepoTags":["busybox:latest"],"Layers":["HEX/layer.tar"]}]
//	repositories          {"busybox":{"latest":"HEX"}}
//	HEX.json              the configuration
//	HEX/VERSION, HEX/json, HEX/layer.tar
//
// Docker from version 25 on puts these files below blobs/sha256 and adds oci-layout and index.json, so that its archives are of the OCI form
// too; older programs then take them for the one or the other. [Write] writes manifest.json, repositories, HEX.json and
// HEX/layer.tar, where HEX is the digest of the configuration and the diff ID: all that Docker since 1.10, podman, skopeo and
// containerd want.
//
// The OCI form is the tar of an image layout (oci-layout, index.json, blobs).
//
// [Open] makes a store of an archive, from which images are copied like from any other. [Write] writes an archive to a stream.
// The form from before manifest.json, of the year 2015, is not read.
//
// Sources: image-spec 1.1, image-layout.md; Docker Engine API, "Export several images", which describes manifest.json.
//
// Read first: open.go, then docker.go and write.go.
package archive
