// SPDX-License-Identifier: Apache-2.0

// Package system holds the tools that show and change processes, mounts, namespaces and the machine: ps, kill, mount,
// unshare, id, free and their like. What they print comes from /proc and from one or two system calls each, named in the
// comments, so that a reader sees where the number on the screen is from.
package system
