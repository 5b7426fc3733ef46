// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/chroot"
)

// TestFeaturesAreKnown tries what the features name: each is planned, and one that nobody knows is not.
func TestFeaturesAreKnown(t *testing.T) {
	f, err := Features()
	if err != nil {
		t.Fatal(err)
	}
	tries := func(what string, names []string, change func(s *specs.Spec, name string)) {
		t.Helper()
		if len(names) == 0 {
			t.Errorf("no %s at all", what)
		}
		for _, name := range append(slices.Clone(names), "UNHEARD_OF") {
			spec := Example()
			change(spec, name)
			if _, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"}); (err == nil) != slices.Contains(names, name) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
	}
	tries("memory policy", f.Linux.MemoryPolicy.Modes, func(s *specs.Spec, name string) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(name)}
		if name != "MPOL_DEFAULT" && name != "MPOL_LOCAL" {
			s.Linux.MemoryPolicy.Nodes = "0"
		}
	})
	tries("memory flag", f.Linux.MemoryPolicy.Flags, func(s *specs.Spec, name string) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(name)}}
	})
	filter := func(s *specs.Spec) *specs.LinuxSeccomp {
		s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActErrno}}}
		return s.Linux.Seccomp
	}
	tries("filter flag", f.Linux.Seccomp.KnownFlags, func(s *specs.Spec, name string) {
		filter(s).Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(name)}
	})
	tries("filter architecture", f.Linux.Seccomp.Archs, func(s *specs.Spec, name string) {
		filter(s).Architectures = []specs.Arch{specs.Arch(name)}
	})
	tries("operator", f.Linux.Seccomp.Operators, func(s *specs.Spec, name string) {
		filter(s).Syscalls[0].Args = []specs.LinuxSeccompArg{{Index: 1, Value: 7, Op: specs.LinuxSeccompOperator(name)}}
	})
	tries("namespace", f.Linux.Namespaces, func(s *specs.Spec, name string) {
		s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}}
		s.Hostname, s.Mounts = "", nil
		if name != "mount" {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(name)})
		}
		if name == "user" {
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}
	})
	for _, option := range f.MountOptions {
		if o := chroot.ParseOptions([]string{option}); o.Data != "" {
			t.Errorf("the mount option %s is data for the file system", option)
		}
	}
	for _, hook := range f.Hooks {
		spec := Example()
		spec.Hooks = allHooks()
		if len(hooksAt(spec.Hooks, hook)) == 0 || !strings.Contains(hooksAt(spec.Hooks, hook)[0].Path, hook) {
			t.Errorf("the hook %s is none", hook)
		}
	}
}
