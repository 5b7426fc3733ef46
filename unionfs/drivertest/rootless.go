// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rootlessVariable tells a test that it runs as an ordinary user who is root in a user namespace of his own.
const rootlessVariable = "STAVE_DRIVERTEST_ROOTLESS"

// Rootless says whether the test runs as an ordinary user who is root of a user namespace. If not, it starts the test once more that way,
// and returns when that is done. Before, need says what that takes.
func Rootless(t *testing.T, need func()) bool {
	t.Helper()
	if os.Getenv(rootlessVariable) != "" {
		return true
	}
	need()
	// The test binary is in a folder that only its maker may enter.
	program := filepath.Join(t.TempDir(), "test")
	command(t, "cp", os.Args[0], program)
	temp := filepath.Join(os.TempDir(), "nobody")
	command(t, "install", "-d", "-o", "65534", "-g", "65534", temp)
	t.Cleanup(func() { os.RemoveAll(temp) })
	command(t, "chmod", "a+rx", filepath.Dir(program), filepath.Dir(filepath.Dir(program)), program)
	child := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
		"unshare", "--user", "--map-root-user", "--mount", program, "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$",
		"-test.skip="+flag.Lookup("test.skip").Value.String())
	child.Dir = "/"
	child.Env = append(os.Environ(), rootlessVariable+"=1", "TMPDIR="+temp)
	if output, err := child.CombinedOutput(); err != nil || !strings.Contains(string(output), "\n--- PASS: "+t.Name()) {
		t.Errorf("as an ordinary user: %v\n%s", err, output)
	}
	return false
}
