// SPDX-License-Identifier: Apache-2.0

// Package server is a registry: the other end of package remote. It keeps images in a folder and gives and takes them over
// HTTP as the OCI distribution specification has it.
//
// # The folder
//
// Every repository is an OCI image layout of its own, so skopeo, umoci and a pager can read it:
//
//	ROOT/library/busybox/
//	    oci-layout  index.json  blobs/sha256/…    the layout; a tag is the name of its entry in index.json
//	    lock                                      held (flock) while index.json changes
//	    _uploads/<id>                             what has come of a blob that is being uploaded
//
// A component of a repository's name that the layout uses itself ("blobs") gets a folder with an underscore behind it ("blobs_"),
// which no name can have. A blob that is mounted from another repository is a hard link, so each repository is complete, and each is
// collected alone.
//
// A new folder has the mode 0700, and locks 0600: any user who can read a lock file can hold the lock.
//
// An upload is one file. It grows by what each request brings, also when the request breaks off, and becomes a blob by fsync and
// rename once its digest has been found right. So whatever moment the server is killed at, a blob is whole or not there, and a
// client can go on with its upload after a restart.
//
// # Garbage collection
//
// [Server.Collect] removes the blobs that no manifest of the repository needs. It runs beside everything else: a request that
// changes a repository holds the repository's lock shared, the sweep holds it alone. A blob that has come, or was asked for by a
// client that would else have pushed it, is kept for [Options.Grace] even if no manifest names it yet. Uploads that nobody goes on
// with are removed after the same time.
//
// # Who may
//
// Without [Options.Accounts] everybody may do everything. With accounts, a request brings a name and password (basic
// authentication), or, with [Options.Tokens], a token that the server itself has given for a name and password at /token.
//
// # Besides the protocol
//
// / is a page for people, which asks for name and password where there are accounts. /healthz answers load balancers and /metrics
// Prometheus; these ask nobody.
//
// # Sources
//
// OCI distribution-spec 1.1; image-spec 1.1: image-layout.md, manifest.md, image-index.md; the token authentication
// specification of the distribution project; RFC 9110 (HTTP), RFC 8288 (Link), RFC 7617 (Basic), RFC 6750 (Bearer).
//
// Left out: rights per user (every account may do everything), manifests of Docker's schema 1, deleting a blob or manifest that
// a manifest in the repository still needs.
//
// Read first: route.go, then server.go, upload.go, repository.go.
package server
