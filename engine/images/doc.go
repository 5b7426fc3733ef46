// SPDX-License-Identifier: Apache-2.0

// Package images keeps the images of a state folder: it joins a store of blobs with unpacked layers.
//
//	images/       an OCI image layout: blobs, and index.json with the names
//	layers/       each layer unpacked once, whichever images have it
//	containers/   what may use an image; it is asked, not read
//
// An image is known by the digest of its configuration, its ID, as docker has it; by its names, which are kept in full
// (docker.io/library/busybox:latest) and shown short (busybox:latest); and by the digests under which registries had it
// (busybox@sha256:…). Those are names, too, as far as the store is concerned. An image that has lost its last name to another stays,
// nameless ("dangling"), until it is removed or pruned.
//
// Pull, push, save and load are one copy between two stores, [registry.Copy]; what this package adds is that layers are unpacked
// while others still arrive, and that names, layers and blobs go together when an image goes.
//
// What happens when a process is killed in the middle: a layer or blob is there or not, by rename; a name is the last thing that an
// image gets and the first that it loses. What was left over is removed by the next removal or [Images.Prune].
//
// # Sources
//
// OCI image-spec 1.1: config.md, manifest.md, layer.md, image-layout.md. Docker's image specification 1.3 for the configuration's
// fields that OCI has not (Healthcheck, OnBuild, Shell) and for archives.
//
// Read first: images.go, then pull.go and remove.go.
package images
