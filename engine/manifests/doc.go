// SPDX-License-Identifier: Apache-2.0

// Package manifests makes lists of images for several platforms under one name, as docker manifest does.
//
// Such a list, an OCI index or Docker's manifest list, consists of the descriptors of manifests that a registry has. While it is put
// together it is a file below the folder manifests of the state folder, named after the list:
//
//	manifests/docker.io%2Fteam%2Fapp:1.json   the list, and from which repository each of its manifests is
//	manifests/lock                            flocked by who changes one
//
// A push copies what the target repository lacks, then the list.
//
// Sources: OCI image-spec 1.1, image-index.md; Docker's image manifest version 2, schema 2, "Manifest List".
//
// Read first: list.go, then lists.go.
package manifests
