// SPDX-License-Identifier: Apache-2.0

// Package images has tests only: of what the program stave does to its store of images when it is killed or the disk is full, and of
// images with many layers.
//
// The tests run the program as a user would, and look at its state folder with their own eyes: blobs are hashed, names followed to the
// last blob, unpacked layers compared with their archives, entry by entry. Nothing of stave's own code is used for that. Registries
// are docker-registry.
//
// TestKill sends SIGKILL to pull, load, commit, push, rmi and image prune, fifty times in total at random points of the time that the
// whole command takes. The seed is printed when it fails; STAVE_SEED repeats it, as far as a race repeats.
//
// Read first: store_test.go, then kill_test.go.
package images
