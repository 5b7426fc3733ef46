// SPDX-License-Identifier: Apache-2.0

package fuse_test

import (
	"testing"

	"stave/internal/witness"
	"stave/unionfs/drivertest"
	"stave/unionfs/fuse"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestDriver runs the suite that all drivers run.
func TestDriver(t *testing.T) {
	witness.Need(t, "root", "command:fuse-overlayfs", "filesystem:fuse")
	drivertest.Run(t, drivertest.Suite{Driver: fuse.Driver{}, PartsLinks: true, KeepsFolders: true, Coarse: true})
}
