// SPDX-License-Identifier: Apache-2.0

package union

import (
	"testing"

	"stave/internal/witness"
)

func TestMain(m *testing.M) { witness.Main(m) }
