// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Update changes limits of a container that has not ended: those that the resources name (OCI config-linux.md), all of them or,
// after an error, none. The configuration that is kept with the container stays as it is: it is what the container was made
// with. Device rules can't be changed; those of the configuration may be repeated. The error of a container that has
// ended is an [ErrNotRunning].
func (i *Instance) Update(r *specs.LinuxResources) error {
	if err := i.relock(); err != nil {
		return err
	}
	s, err := i.stateLocked()
	if err != nil {
		return err
	}
	if s.Pid == 0 {
		return fmt.Errorf("%w: cannot update %s, which is %s", ErrNotRunning, i.ID, s.Status)
	}
	if err := i.grouped("change its limits"); err != nil {
		return err
	}
	if err := i.sameDevices(r.Devices); err != nil {
		return err
	}
	limits := *r
	limits.Devices = nil
	if err := i.Cgroup.Update(&limits); err != nil || i.Unit.Name == "" {
		return err
	}
	// systemd writes the files too when it is told, whole percents of a processor for instance: so the exact values
	// are written once more.
	if err := i.Unit.Update(i.Cgroup, &limits); err != nil {
		return fmt.Errorf("the limits hold until systemd reloads its configuration: %w", err)
	}
	return i.Cgroup.Update(&limits)
}

// sameDevices refuses device rules that are not those the container has. Engines send all that they know of the resources,
// whatever they change.
func (i *Instance) sameDevices(rules []specs.LinuxDeviceCgroup) error {
	if len(rules) == 0 {
		return nil
	}
	data, err := kernel.ReadFile(i.path(configFile))
	if err != nil {
		return err
	}
	var has specs.Spec
	if err := json.Unmarshal(data, &has); err != nil {
		return fmt.Errorf("%s: %w", i.path(configFile), err)
	}
	if has.Linux != nil && has.Linux.Resources != nil && reflect.DeepEqual(rules, has.Linux.Resources.Devices) {
		return nil
	}
	return fmt.Errorf("linux.resources.devices: the rules differ from those that container %s was made with, and update changes no device rules: leave them out", i.ID)
}
