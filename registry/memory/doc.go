// SPDX-License-Identifier: Apache-2.0

// Package memory keeps images in memory: for tests, and for what is made only to be passed on. It is the shortest whole
// implementation of [stave/registry.Store], so it is a good one to read first.
package memory
