// SPDX-License-Identifier: Apache-2.0

// Package layout keeps images in a folder: an OCI image layout, which skopeo, umoci, buildah and podman read and write too.
//
//	oci-layout            the version of the form
//	index.json            the names: descriptors of manifests, with the name as an annotation
//	blobs/sha256/HEX      manifests, configurations and layers
//	ingest/sha256-HEX     what a push has so far; locked (flock) while one goes on, else the next push goes on there
//	ingest/new-RANDOM     bytes whose digest is not known yet, locked too
//	leases/RANDOM         what a running copy needs; locked as long as its process lives
//	lock                  the lock of index.json (exclusive), and of the collection against all that adds (shared)
//
// The last four are ours; others leave them alone. A name is a full reference, "docker.io/library/busybox:latest", but whatever
// others have written is a name as well.
//
// Any number of goroutines and processes may use a folder at once. A blob appears by rename once its digest is verified, and
// index.json changes by rename. Nothing has to be done after a crash: half a blob is gone on with, and what a process that
// died has locked is not locked any more. A power cut is another matter, since a rename may reach the disk before the bytes: a
// name is given only after all it leads to was synced, so that what has a name is whole, always.
//
// Other programs know neither lock nor leases: while they write, don't collect.
//
// Sources: image-spec 1.1, image-layout.md; flock(2), fsync(2), rename(2).
//
// Read first: layout.go, then push.go and collect.go.
package layout
