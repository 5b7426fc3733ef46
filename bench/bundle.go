// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// makeBundle makes a bundle that runs /bin/true: the configuration that runc spec writes (or
// stave-oci, where there is no runc), and a root file system with a static busybox. The folder is
// one that anybody may enter, as a container's user need not be root.
func makeBundle(dir, oci string) error {
	bin := filepath.Join(dir, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox, as a static program, is needed (Debian: busybox-static): %w", err)
	}
	for _, name := range []string{"true", "sleep"} {
		if err := copyFile(busybox, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	writer, err := exec.LookPath("runc")
	if err != nil {
		writer = oci
	}
	if text, err := exec.Command(writer, "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%s spec: %w: %s", writer, err, text)
	}
	name := filepath.Join(dir, "config.json")
	return adapt(name, name, func(spec *specs.Spec) {
		spec.Process.Terminal = false
		spec.Process.Args = []string{"/bin/true"}
	})
}

// makeLimited makes a bundle in dir with the root file system of another one, and with all limits set that every kernel has.
func makeLimited(dir, other string) error {
	limits, err := allLimits()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return adapt(filepath.Join(other, "config.json"), filepath.Join(dir, "config.json"), func(spec *specs.Spec) {
		spec.Root.Path = filepath.Join(other, "rootfs")
		limits.Devices = spec.Linux.Resources.Devices
		spec.Linux.Resources = limits
	})
}

// makeIdle makes a bundle in dir with the root file system of another one, whose command does nothing for long.
func makeIdle(dir, other string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return adapt(filepath.Join(other, "config.json"), filepath.Join(dir, "config.json"), func(spec *specs.Spec) {
		spec.Root.Path = filepath.Join(other, "rootfs")
		spec.Process.Args = []string{"/bin/sleep", "1000000"}
	})
}

// allLimits sets limits on memory, swap, processor time, processors and processes, none of which slows the container. Swap is
// left out where the kernel does not count it: in version 1 there is no file for it then.
func allLimits() (*specs.LinuxResources, error) {
	memory, swap, pids, shares, quota, period := int64(64<<20), int64(128<<20), int64(100), uint64(512), int64(400_000), uint64(100_000)
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &swap},
		CPU:    &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period},
		Pids:   &specs.LinuxPids{Limit: &pids},
	}
	for file, value := range map[string]*string{"cpu": &r.CPU.Cpus, "node": &r.CPU.Mems} {
		text, err := os.ReadFile("/sys/devices/system/" + file + "/online")
		if err != nil {
			return nil, err
		}
		*value = strings.TrimSpace(string(text))
	}
	_, v2 := os.Stat(cgroupRoot + "/cgroup.controllers")
	_, v1 := os.Stat(cgroupRoot + "/memory/memory.memsw.limit_in_bytes")
	if v1 != nil && v2 != nil {
		r.Memory.Swap = nil
	}
	return r, nil
}

// adapt reads a configuration, changes it and writes it to a file.
func adapt(from, to string, change func(*specs.Spec)) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if spec.Process == nil || spec.Root == nil || spec.Linux == nil || spec.Linux.Resources == nil {
		return fmt.Errorf("%s: process, root, linux or linux.resources is missing", from)
	}
	change(&spec)
	if data, err = json.MarshalIndent(spec, "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// copyFile copies a program.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
