// SPDX-License-Identifier: Apache-2.0

package container

import (
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
	"stave/security"
)

// seccomp plans the system call filter, and the way of its listener's descriptor to the program that
// the configuration names.
func (p *planner) seccomp() ([]kernel.Call, error) {
	profile := p.spec.Linux.Seccomp
	if profile == nil {
		return nil, nil
	}
	filter, err := security.Compile(profile, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	handover := filter.Notify(security.Listener{
		Path: profile.ListenerPath, Metadata: profile.ListenerMetadata,
		State: specs.State{Version: specs.Version, ID: p.options.ID, Bundle: p.bundle.Dir, Annotations: p.spec.Annotations},
	})
	p.host = slices.Concat(handover.Before, p.host, handover.After)
	install := kernel.Call{Request: security.Seccomp{Filter: filter}, Why: "system calls that a container doesn't need are a way into the kernel"}
	return append([]kernel.Call{install}, handover.Inside...), nil
}
