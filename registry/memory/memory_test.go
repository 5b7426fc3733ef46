// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"testing"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// TestStore runs the tests that every store passes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Options{
		Open:    func(*testing.T) registry.Store { return memory.New() },
		Collect: func(ctx context.Context, s registry.Store) error { return s.(*memory.Memory).Collect(ctx) },
	})
}
