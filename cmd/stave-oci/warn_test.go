// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"strings"
	"testing"

	"stave/internal/witness"
)

// TestCapabilitiesAreLeftOut asks for a capability that nobody knows, beside one that is there: a warning, and a container
// that has the other.
func TestCapabilitiesAreLeftOut(t *testing.T) {
	witness.Need(t, "root")
	dir := newBundle(t, "grep CapEff /proc/self/status", allCapabilities("CAP_CHOWN", "CAP_FLY"))
	got := run(t, oci(dir))
	if got.code != 0 || got.out != "CapEff:\t0000000000000001\n" {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(got.err, "warning") || strings.Count(got.err, "CAP_FLY") != 1 || strings.Contains(got.err, "CAP_CHOWN") {
		t.Errorf("the warning is %q", got.err)
	}
}
