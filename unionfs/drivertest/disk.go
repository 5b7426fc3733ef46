// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// diskSize is the size of a file system for tests: the least that mkfs.xfs(8) makes.
const diskSize = 320 << 20

// Disk makes a file system in a file, mounts it through a loop device, and returns a function that makes a new folder there. Without loop
// devices the test is skipped. Test binaries that run as root have a mount namespace of their own.
func Disk(t *testing.T, kind string) func(*testing.T) string {
	t.Helper()
	if os.Getenv(stackVariable) != "" {
		return nil // a process that is to be killed works on the disk that its parent made
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "mounted")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(diskSize); err != nil {
		t.Fatal(err)
	}
	f.Close()
	command(t, "mkfs."+kind, "-q", image)
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command("mount", "-o", "loop", "-t", kind, image, point).CombinedOutput()
	if err != nil && strings.Contains(string(output), "loop") {
		t.Skipf("needs a loop device: %s", output)
	}
	if err != nil {
		t.Fatalf("mount %s: %v %s", image, err, output)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Errorf("unmount %s: %v", point, err)
		}
	})
	count := 0
	return func(t *testing.T) string {
		count++
		folder := filepath.Join(point, fmt.Sprint(count))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		return folder
	}
}
