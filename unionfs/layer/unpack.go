// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"io"
)

// Unpack makes the empty folder dir of an uncompressed layer archive and reads r to its end. What it made stays when it returns
// an error.
func Unpack(ctx context.Context, dir string, r io.Reader, o Options) (Result, error) {
	return Result{}, errors.New("not yet")
}

// Inherit gives the directories that Unpack made without an entry of their own (Result.Implicit) the attributes that they have in
// the layers below, the lowest first: otherwise overlay would show the defaults.
func Inherit(dir string, lowers, implicit []string, o Options) error {
	return errors.New("not yet")
}
