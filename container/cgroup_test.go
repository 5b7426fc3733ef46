// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/security"
)

// TestNoCgroupToShow plans a cgroup mount on a machine where none is mounted.
func TestNoCgroupToShow(t *testing.T) {
	spec := Example()
	spec.Linux.Resources = nil
	_, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, Facts{}, Options{ID: "x"})
	if err == nil || !strings.Contains(err.Error(), "/sys/fs/cgroup: no cgroup is mounted") {
		t.Errorf("error is %v", err)
	}
}

// TestLimitsNeedACgroup refuses limits, and device rules for root, where there is no cgroup to set them in.
func TestLimitsNeedACgroup(t *testing.T) {
	rules := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	pids := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(10))}}
	for name, test := range map[string]struct {
		facts     Facts
		resources *specs.LinuxResources
		path      string
		want      string // in the error; "" for none
	}{
		"no tree, no wish":      {Facts{}, nil, "", ""},
		"no tree, rules":        {Facts{}, rules, "", "mount -t cgroup2"},
		"no tree, limit":        {Facts{}, pids, "", "mount -t cgroup2"},
		"no tree, path":         {Facts{}, nil, "/x", "mount -t cgroup2"},
		"nothing delegated":     {Facts{UID: 1000, Cgroups: cgroups.Sample(cgroups.V2)}, nil, "", ""},
		"user's rules":          {Facts{UID: 1000, Cgroups: cgroups.Sample(cgroups.V2)}, rules, "", ""},
		"user's limit":          {Facts{UID: 1000, Cgroups: cgroups.Sample(cgroups.V2)}, pids, "", "Delegate=yes"},
		"user's limit, no tree": {Facts{UID: 1000}, pids, "", "mount -t cgroup2"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := Example()
			spec.Mounts = spec.Mounts[:2]
			if test.facts.UID != 0 {
				Rootless(spec, 1000, 1000)
				spec.Mounts = spec.Mounts[:2]
			}
			spec.Linux.Resources, spec.Linux.CgroupsPath = test.resources, test.path
			test.facts.Root = test.facts.UID == 0
			test.facts.Security = security.Facts{LastCapability: 40}
			_, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, test.facts, Options{ID: "x"})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}
