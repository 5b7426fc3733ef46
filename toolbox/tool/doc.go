// SPDX-License-Identifier: Apache-2.0

// Package tool holds what all tools of the toolbox share: the streams a tool works on, the reading of its options, the
// form of its error messages, user names, sizes and file modes.
//
// A tool is a function: it gets its streams and its arguments (args[0] is its own name) and gives back its exit code.
// It never calls os.Exit, so a test calls it like any function.
package tool
