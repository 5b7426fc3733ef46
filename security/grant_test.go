// SPDX-License-Identifier: Apache-2.0

package security

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestCapabilitiesThatCanNotBeGranted asks for some that are unknown, that the kernel lacks, and that the caller lacks: they
// are in no set, and named once.
func TestCapabilitiesThatCanNotBeGranted(t *testing.T) {
	names := []string{"CAP_KILL", "CAP_FLY", "CAP_BPF", "CAP_SYS_TIME", "CAP_CHOWN"}
	p := &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names, Inheritable: names, Ambient: names}}
	c, err := NewCredentials(p, Facts{LastCapability: unix.CAP_SYS_TIME + 1, Missing: 1 << unix.CAP_SYS_TIME})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"CAP_FLY", "CAP_BPF", "CAP_SYS_TIME"}; !slices.Equal(c.LeftOut, want) {
		t.Errorf("left out are %q, want %q", c.LeftOut, want)
	}
	const want = Set(1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN)
	for name, set := range map[string]Set{"bounding": c.Bounding, "permitted": c.Permitted, "effective": c.Effective, "inheritable": c.Inheritable, "ambient": c.Ambient} {
		if set != want {
			t.Errorf("the %s set is %s, want %s", name, set, want)
		}
	}
}

// TestMissing compares what is missing with what the kernel says of this process (capget(2)).
func TestMissing(t *testing.T) {
	facts, err := ReadFacts()
	if err != nil {
		t.Fatal(err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	for n := range facts.LastCapability + 1 {
		bound, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		permitted := data[n/32].Permitted&(1<<(n%32)) != 0
		if held := bound == 1 && permitted; facts.Missing.Has(n) == held {
			t.Errorf("capability %d is missing: %v; bounding %d, permitted %v", n, facts.Missing.Has(n), bound, permitted)
		}
	}
}
