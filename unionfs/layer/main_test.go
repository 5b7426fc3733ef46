// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }
