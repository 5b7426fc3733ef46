// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// status returns a field of /proc/PID/status.
func (r *running) status(t *testing.T, field string) string {
	t.Helper()
	for line := range strings.Lines(r.read(t, "status")) {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	t.Fatalf("no %s in /proc/%d/status", field, r.pid)
	return ""
}
