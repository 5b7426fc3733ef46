// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness.
func TestMain(m *testing.M) { witness.Main(m) }
