// SPDX-License-Identifier: Apache-2.0

// Package remote speaks the OCI distribution protocol: a [Client] reaches registries over HTTP, and a [Repository] of one
// is a [registry.Store].
//
// The protocol is small. A manifest is got by tag or digest and put by either (GET, HEAD, PUT, DELETE
// /v2/NAME/manifests/REFERENCE). A blob is got by digest, and uploaded in a session: POST opens it, PATCH adds bytes, PUT
// closes it and names the digest (/v2/NAME/blobs/uploads/). Most of the code here is about what goes wrong on the way: who asks
// first is sent to another server for a token; blobs are served from yet another by redirect; connections are cut; a
// registry has enough of us for now; and any of them may lie.
//
// So nothing is believed: bytes are held against their digest while they stream, answers that are kept in memory have a limit,
// passwords and tokens go only to the host that they are for, and plain http only to this machine or where it was
// allowed by name. What can be tried again is, from the byte where it stopped.
//
// A request goes down through these layers, each in a file of its name: repository → retry → authorize → follow → send.
//
// # Sources
//
// OCI distribution-spec 1.1 (spec.md); the token protocol of Docker's registry (token authentication, OAuth 2); RFC 9110
// (HTTP), sections 10.2.3 Retry-After, 11 authentication, 14 range requests; RFC 8288 (Link).
//
// Read first: client.go, repository.go.
package remote
