// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"testing"

	"stave/internal/witness"
)

// TestMain lets the witness look for what the runtime and its engines leave behind.
func TestMain(m *testing.M) {
	witness.Main(m)
}
