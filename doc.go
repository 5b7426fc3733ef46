// SPDX-License-Identifier: Apache-2.0

// Package stave is empty: the container toolkit stave lives in the folders beside it, and this one holds the tests
// that keep their order: who may import whom, how a declaration is commented, how long a function may get, and
// whether the links of the documents lead somewhere.
//
// README.md says what stave is and which folder to read first; lessons/decisions says why it is as it is.
// The checks are in imports_test.go, comments_test.go, shape_test.go and documents_test.go; each is a function from a
// tree of files to findings, and is tried on a bad example before it reads the repository. tree_test.go runs them.
package stave
