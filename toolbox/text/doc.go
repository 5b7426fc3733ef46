// SPDX-License-Identifier: Apache-2.0

// Package text holds the tools that read and write text: cat, grep, sort, cut, tr, head, tail and the others one finds
// at the ends of a pipe. Their options are the ones people type, with the meaning POSIX gives them.
package text
