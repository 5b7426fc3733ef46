// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
)

// Kind is what happened to a file, in the letters of `docker diff`.
type Kind byte

// The kinds of changes.
const (
	Added   Kind = 'A'
	Changed Kind = 'C'
	Deleted Kind = 'D'
)

// String is the kind's letter.
func (k Kind) String() string { return string(rune(k)) }

// Change is one line of `docker diff`.
type Change struct {
	Kind Kind
	// Path is absolute, as seen in the container: "/etc/passwd".
	Path string
}

// Changes lists what the folder upper, which overlay wrote, changes in the folders below it, the lowest first. The directories
// above a change are changed too. The list is sorted by path.
func Changes(ctx context.Context, lowers []string, upper string, o Options) ([]Change, error) {
	return nil, errors.New("not yet")
}

// Compare lists what makes the tree new of the tree old, sorted by path. The directories above a change are changed too.
func Compare(ctx context.Context, old, new string, o Options) ([]Change, error) {
	return nil, errors.New("not yet")
}
