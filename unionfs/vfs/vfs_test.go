// SPDX-License-Identifier: Apache-2.0

package vfs_test

import (
	"testing"

	"stave/internal/witness"
	"stave/unionfs/drivertest"
	"stave/unionfs/vfs"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestDriver runs the suite that all drivers run.
func TestDriver(t *testing.T) {
	witness.Need(t, "root")
	drivertest.Run(t, drivertest.Suite{Driver: vfs.Driver{}})
}
