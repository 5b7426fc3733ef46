// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultSeccomp returns Docker's default profile for a container. The profile depends on the bounding set of
// capabilities in the configuration (with CAP_SYS_ADMIN, for example, mount is allowed), on the machine and on its kernel.
func DefaultSeccomp(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	held := specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	if spec.Process != nil && spec.Process.Capabilities != nil {
		held.Process.Capabilities.Bounding = spec.Process.Capabilities.Bounding
	}
	profile, err := seccomp.GetDefaultProfile(&held)
	if err != nil {
		return nil, fmt.Errorf("seccomp default profile: %w", err)
	}
	return profile, nil
}
