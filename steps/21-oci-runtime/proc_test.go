// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"testing"
)

// This file is the same in every step whose tests read files of /proc/PID.

// read returns the contents of a file below /proc/PID; below root/ of it are the files as the command sees them.
func (r *running) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
