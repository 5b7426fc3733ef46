// SPDX-License-Identifier: Apache-2.0

// Package storetest has the tests that every [stave/registry.Store] passes. Only tests import it.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Options{Open: func(t *testing.T) registry.Store { return memory.New() }})
//	}
//
// [Sample] and [Index] push images that mean nothing, for other tests too.
package storetest
