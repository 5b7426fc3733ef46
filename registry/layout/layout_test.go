// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"context"
	"testing"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// open opens a layout in a folder.
func open(t testing.TB, dir string) *layout.Layout {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestStore runs the tests that every store passes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Options{
		Open: func(t *testing.T) registry.Store { return open(t, t.TempDir()) },
		Collect: func(ctx context.Context, s registry.Store) error {
			_, err := s.(*layout.Layout).Collect(ctx)
			return err
		},
	})
}
