// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// decode reads a configuration. Package encoding/json studies every type that it could meet before it
// reads the first byte, and specs.Spec has hundreds (Windows, virtual machines, cache allocation):
// 1.4 ms, as long as all mounts take. So a document with the members that nearly every configuration
// has is read first (0.3 ms), and all of specs.Spec only where it shows one of the others.
func decode(data []byte) (*specs.Spec, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, located(data, err)
	}
	if !d.rare() {
		return d.spec(), nil
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, located(data, err)
	}
	return &spec, nil
}

// located adds the line to an error of syntax.
func located(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + strings.Count(string(data[:min(int(syntax.Offset), len(data))]), "\n")
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// document is a configuration with its usual members; the rare ones are only seen to be there. A test
// holds its members against those of specs.Spec.
type document struct {
	Version     string            `json:"ociVersion"`
	Process     *processDocument  `json:"process"`
	Root        *specs.Root       `json:"root"`
	Hostname    string            `json:"hostname"`
	Domainname  string            `json:"domainname"`
	Mounts      []specs.Mount     `json:"mounts"`
	Annotations map[string]string `json:"annotations"`
	Linux       *linuxDocument    `json:"linux"`
	Hooks       json.RawMessage   `json:"hooks"`
}

// processDocument is the member process.
type processDocument struct {
	Terminal        bool                     `json:"terminal"`
	ConsoleSize     *specs.Box               `json:"consoleSize"`
	User            specs.User               `json:"user"`
	Args            []string                 `json:"args"`
	Env             []string                 `json:"env"`
	Cwd             string                   `json:"cwd"`
	Capabilities    *specs.LinuxCapabilities `json:"capabilities"`
	Rlimits         []specs.POSIXRlimit      `json:"rlimits"`
	NoNewPrivileges bool                     `json:"noNewPrivileges"`
	ApparmorProfile string                   `json:"apparmorProfile"`
	OOMScoreAdj     *int                     `json:"oomScoreAdj"`
	SelinuxLabel    string                   `json:"selinuxLabel"`
	Scheduler       json.RawMessage          `json:"scheduler"`
	IOPriority      json.RawMessage          `json:"ioPriority"`
	ExecCPUAffinity json.RawMessage          `json:"execCPUAffinity"`
}

// linuxDocument is the member linux.
type linuxDocument struct {
	UIDMappings       []specs.LinuxIDMapping           `json:"uidMappings"`
	GIDMappings       []specs.LinuxIDMapping           `json:"gidMappings"`
	Sysctl            map[string]string                `json:"sysctl"`
	Resources         *resourcesDocument               `json:"resources"`
	CgroupsPath       string                           `json:"cgroupsPath"`
	Namespaces        []specs.LinuxNamespace           `json:"namespaces"`
	Devices           []specs.LinuxDevice              `json:"devices"`
	Seccomp           *specs.LinuxSeccomp              `json:"seccomp"`
	RootfsPropagation string                           `json:"rootfsPropagation"`
	MaskedPaths       []string                         `json:"maskedPaths"`
	ReadonlyPaths     []string                         `json:"readonlyPaths"`
	MountLabel        string                           `json:"mountLabel"`
	TimeOffsets       map[string]specs.LinuxTimeOffset `json:"timeOffsets"`
	NetDevices        json.RawMessage                  `json:"netDevices"`
	IntelRdt          json.RawMessage                  `json:"intelRdt"`
	MemoryPolicy      json.RawMessage                  `json:"memoryPolicy"`
	Personality       json.RawMessage                  `json:"personality"`
}

// resourcesDocument is the member linux.resources: usually there are device rules alone.
type resourcesDocument struct {
	Devices        []specs.LinuxDeviceCgroup `json:"devices"`
	Memory         json.RawMessage           `json:"memory"`
	CPU            json.RawMessage           `json:"cpu"`
	Pids           json.RawMessage           `json:"pids"`
	BlockIO        json.RawMessage           `json:"blockIO"`
	HugepageLimits json.RawMessage           `json:"hugepageLimits"`
	Network        json.RawMessage           `json:"network"`
	Rdma           json.RawMessage           `json:"rdma"`
	Unified        json.RawMessage           `json:"unified"`
}

// rare tells whether the document has a member that it does not read itself.
func (d *document) rare() bool {
	members := []json.RawMessage{d.Hooks}
	if p := d.Process; p != nil {
		members = append(members, p.Scheduler, p.IOPriority, p.ExecCPUAffinity)
	}
	if l := d.Linux; l != nil {
		members = append(members, l.NetDevices, l.IntelRdt, l.MemoryPolicy, l.Personality)
		if r := l.Resources; r != nil {
			members = append(members, r.Memory, r.CPU, r.Pids, r.BlockIO, r.HugepageLimits, r.Network, r.Rdma, r.Unified)
		}
	}
	return slices.ContainsFunc(members, func(m json.RawMessage) bool { return m != nil })
}

// spec returns the configuration as the specification's own type.
func (d *document) spec() *specs.Spec {
	s := &specs.Spec{
		Version: d.Version, Root: d.Root, Hostname: d.Hostname, Domainname: d.Domainname,
		Mounts: d.Mounts, Annotations: d.Annotations,
	}
	if p := d.Process; p != nil {
		s.Process = &specs.Process{
			Terminal: p.Terminal, ConsoleSize: p.ConsoleSize, User: p.User, Args: p.Args, Env: p.Env, Cwd: p.Cwd,
			Capabilities: p.Capabilities, Rlimits: p.Rlimits, NoNewPrivileges: p.NoNewPrivileges,
			ApparmorProfile: p.ApparmorProfile, OOMScoreAdj: p.OOMScoreAdj, SelinuxLabel: p.SelinuxLabel,
		}
	}
	if l := d.Linux; l != nil {
		s.Linux = &specs.Linux{
			UIDMappings: l.UIDMappings, GIDMappings: l.GIDMappings, Sysctl: l.Sysctl, CgroupsPath: l.CgroupsPath,
			Namespaces: l.Namespaces, Devices: l.Devices, Seccomp: l.Seccomp, RootfsPropagation: l.RootfsPropagation,
			MaskedPaths: l.MaskedPaths, ReadonlyPaths: l.ReadonlyPaths, MountLabel: l.MountLabel, TimeOffsets: l.TimeOffsets,
		}
		if l.Resources != nil {
			s.Linux.Resources = &specs.LinuxResources{Devices: l.Resources.Devices}
		}
	}
	return s
}
