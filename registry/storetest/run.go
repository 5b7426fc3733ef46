// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"testing"

	"stave/registry"
)

// Options say what is tested.
type Options struct {
	// Open makes an empty store. It is called once for each test.
	Open func(t *testing.T) registry.Store
	// Collect runs the store's garbage collection; nil if that can't be called from outside.
	Collect func(ctx context.Context, s registry.Store) error
}

// Run runs all tests. What a store does not implement, or refuses with [registry.ErrUnsupported], is passed over.
func Run(t *testing.T, o Options) {
	tests := map[string]func(*testing.T, registry.Store){
		"blob":            testBlob,
		"empty blob":      testEmptyBlob,
		"wrong bytes":     testWrongBytes,
		"broken reader":   testBrokenReader,
		"cancelled":       testCancelled,
		"malformed":       testMalformed,
		"missing":         testMissing,
		"seek":            testSeek,
		"ingest":          testIngest,
		"names":           testNames,
		"move a name":     testMoveName,
		"delete":          testDelete,
		"delete a digest": testDeleteDigest,
		"list":            testList,
		"copy":            testCopy,
		"docker types":    testDockerTypes,
		"subject":         testSubject,
		"same blob":       testSameBlob,
		"many at once":    testManyAtOnce,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, o.Open(t)) })
	}
	if o.Collect != nil {
		runCollect(t, o)
	}
}
