// SPDX-License-Identifier: Apache-2.0

package container

import (
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness.
func TestMain(m *testing.M) {
	witness.Main(m)
}
