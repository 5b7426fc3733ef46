// SPDX-License-Identifier: Apache-2.0

package btrfs_test

import (
	"testing"

	"stave/internal/witness"
	"stave/unionfs/btrfs"
	"stave/unionfs/drivertest"
	"stave/unionfs/vfs"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestDriver runs the suite that all drivers run.
func TestDriver(t *testing.T) {
	witness.Need(t, "root", "filesystem:btrfs", "command:mkfs.btrfs")
	disk := drivertest.Disk(t, "btrfs")
	drivertest.Run(t, drivertest.Suite{Driver: btrfs.Driver{}, Folder: disk})
}

// TestCopies runs the suite of package vfs where files share blocks.
func TestCopies(t *testing.T) {
	witness.Need(t, "root", "filesystem:btrfs", "command:mkfs.btrfs")
	drivertest.Run(t, drivertest.Suite{Driver: vfs.Driver{}, Folder: drivertest.Disk(t, "btrfs")})
}
