// SPDX-License-Identifier: Apache-2.0

// Package files holds the tools that list, make, change, copy and pack files: ls, cp, mv, rm, chmod, stat, df, du, find, tar, dd
// and their like. They keep what containers are about: owners, the set-id bits, device nodes, links.
package files
