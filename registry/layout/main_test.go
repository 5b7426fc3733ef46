// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"os"
	"testing"

	"stave/internal/witness"
)

// childArgument makes this program the other process of a test.
const childArgument = "copy-as-child"

// TestMain runs the tests under a witness.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArgument {
		os.Exit(child(os.Args[2:]))
	}
	witness.Main(m)
}
