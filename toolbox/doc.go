// SPDX-License-Identifier: Apache-2.0

// Package toolbox is the multi-call program of the built-in image "lab": a shell and the tools of a small Linux in one
// static binary, so that a workshop needs no image from a network.
//
//   - [Tools] is the table: a name, a synopsis, a line of help and a function for each.
//   - [Main] and [Run] find the tool by the name the program was called by, and run it.
//   - [Plant] makes the root tree of the image from a copy of the program.
//
// The tools are in tool (what they share), shell, files, text, system and network. They do what people type, in the
// sense of POSIX, and leave out the rest; --help of each says what it takes. Read table.go first.
package toolbox
