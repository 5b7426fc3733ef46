// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness. In a container of a test this program is the container's command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == insideArgument {
		os.Exit(inside())
	}
	witness.Main(m)
}
