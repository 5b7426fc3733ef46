// SPDX-License-Identifier: Apache-2.0

package namespaces

import "testing"

// TestCheckDevice tells names of network devices from other words.
func TestCheckDevice(t *testing.T) {
	for name, want := range map[string]struct{ old, new bool }{
		"eth0": {true, true}, "wlp3s0.100": {true, true}, "a": {true, true}, "fifteen-letters": {true, true}, "eth%d": {false, true},
		"": {}, ".": {}, "..": {}, "sixteen-letters-": {}, "a/b": {}, "a b": {}, "a:b": {}, "a\nb": {}, "a%s": {}, "a%d%d": {}, "a%": {}, "a\x00": {},
	} {
		if old, fresh := CheckDevice(name, false) == nil, CheckDevice(name, true) == nil; old != want.old || fresh != want.new {
			t.Errorf("%q may be a name: %v, and a new one: %v", name, old, fresh)
		}
	}
}

// TestMoveDeviceMatches compares names with a pattern.
func TestMoveDeviceMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"eth0", "eth0", true},
		{"eth0", "eth1", false},
		{"eth%d", "eth12", true},
		{"eth%d", "eth", false},
		{"eth%d", "ethx", false},
		{"e%dx", "e3x", true},
		{"e%dx", "e3", false},
		{"e%dx", "f3x", false},
	} {
		if got := (MoveDevice{"a", test.pattern}).matches(test.name); got != test.want {
			t.Errorf("%s may become %s: %v", test.pattern, test.name, got)
		}
	}
}
