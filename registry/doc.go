// SPDX-License-Identifier: Apache-2.0

// Package registry moves and keeps OCI images.
//
// An image is a few files that name each other by the hash of their bytes: an index lists manifests, a manifest names a
// configuration and layers. Whoever has the hash of the first has, in effect, all of it. So everything here is about one
// small interface, [Store]: fetch and push bytes by digest, give names to manifests. It has three implementations, a folder
// (package layout), memory (package memory) and a repository of a registry over HTTP (package remote), and an archive is
// read and written as a fourth (package archive). [Copy] between any two of them is pull, push, save, load and mirror.
// Package server is the other end of remote.
//
// What is inside a layer is no matter of this package: see unionfs.
//
// # Sources
//
// OCI image-spec 1.1: descriptor.md, image-layout.md, image-index.md, manifest.md, config.md; OCI distribution-spec 1.1.
//
// Read first: store.go, then copy.go and plan.go.
package registry
