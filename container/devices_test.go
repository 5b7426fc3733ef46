// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestPlanNetDevices plans moves in the order of the names, before the hooks.
func TestPlanNetDevices(t *testing.T) {
	spec := Example()
	spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"b": {}, "a": {Name: "eth%d"}, "c": {Name: "x"}}
	spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/x"}}}
	program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(words(program), func(s string) bool {
		return !strings.Contains(s, "move the network device ") && !strings.Contains(s, "createRuntime")
	})
	for i, want := range []string{"move the network device a into the container as eth%d", "move the network device b into the container", "move the network device c into the container as x", "createRuntime"} {
		if i >= len(got) || !strings.Contains(got[i], want) {
			t.Errorf("call %d is not %q: %q", i, want, got)
		}
	}
}

// TestPlanNetDevicesRefused refuses devices that could not be moved.
func TestPlanNetDevicesRefused(t *testing.T) {
	for want, test := range map[string]struct {
		devices map[string]specs.LinuxNetDevice
		own     bool
	}{
		"without a network namespace": {map[string]specs.LinuxNetDevice{"a": {}}, false},
		`"a/b" is no name`:            {map[string]specs.LinuxNetDevice{"a/b": {}}, true},
		`"%s" is no name`:             {map[string]specs.LinuxNetDevice{"a": {Name: "%s"}}, true},
		"a and b would both be x":     {map[string]specs.LinuxNetDevice{"b": {Name: "x"}, "a": {Name: "x"}}, true},
		"a and b would both be b":     {map[string]specs.LinuxNetDevice{"b": {}, "a": {Name: "b"}}, true},
	} {
		spec := Example()
		spec.Linux.NetDevices = test.devices
		if !test.own {
			spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
		}
		_, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
		if err == nil || !strings.HasPrefix(err.Error(), "linux.netDevices: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
