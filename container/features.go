// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"stave/cgroups"
	"stave/chroot"
	"stave/security"
)

// Features says what this runtime can do on this machine (OCI features.md).
func Features() (*features.Features, error) {
	facts, err := security.ReadFacts()
	if err != nil {
		return nil, err
	}
	yes := true
	kinds := []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}
	return &features.Features{
		OCIVersionMin:                      "1.0.0",
		OCIVersionMax:                      specs.Version,
		Hooks:                              hookPoints(),
		MountOptions:                       chroot.KnownOptions(),
		PotentiallyUnsafeConfigAnnotations: []string{cgroups.AnnotationPrefix()},
		Linux: &features.Linux{
			Namespaces:   kinds,
			Capabilities: security.AllCapabilities(facts.LastCapability),
			Cgroup:       &features.Cgroup{V1: &yes, V2: &yes, Systemd: &yes, SystemdUser: &yes, Rdma: &yes},
			Seccomp: &features.Seccomp{
				Enabled:   &yes,
				Actions:   security.SeccompActions(),
				Operators: security.SeccompOperators(),
				KnownFlags: []string{
					"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
					"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
				},
				Archs: security.SeccompArchitectures(),
			},
			Apparmor:        &features.Apparmor{Enabled: &facts.AppArmor},
			Selinux:         &features.Selinux{Enabled: &facts.SELinux},
			IntelRdt:        &features.IntelRdt{Enabled: &yes, Schemata: &yes, Monitoring: &yes},
			MemoryPolicy:    &features.MemoryPolicy{Modes: security.MemoryModes(), Flags: security.MemoryFlags()},
			NetDevices:      &features.NetDevices{Enabled: &yes},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &yes}},
		},
	}, nil
}

// CheckID refuses a container id that could not be a file name: letters, digits, and _ + - . after
// the first, as runc has it; at most 1024 characters.
func CheckID(id string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."
	if id == "" || len(id) > 1024 || strings.Trim(id, allowed) != "" || id == "." || id == ".." {
		return fmt.Errorf("container id %q: letters, digits, and the characters _ + - . are allowed, 1024 at most", id)
	}
	return nil
}
