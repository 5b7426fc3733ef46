// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"os/exec"
	"testing"

	"stave/internal/witness"
)

// gnuTar packs a folder with GNU tar.
func gnuTar(t *testing.T, dir string, options ...string) []byte {
	t.Helper()
	witness.Need(t, "command:tar")
	command := exec.Command("tar", append(append([]string{"-c", "-C", dir}, options...), ".")...)
	var problems bytes.Buffer
	command.Stderr = &problems
	data, err := command.Output()
	if err != nil {
		t.Fatalf("tar: %v: %s", err, problems.String())
	}
	return data
}
