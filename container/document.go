// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// decode reads a configuration. Package encoding/json studies every type that it could meet before it
// reads the first byte, and specs.Spec has hundreds (Windows, virtual machines, cache allocation):
// 1.4 ms, as long as all mounts take. So a [reader] of our own reads one that has usual members alone, as nearly all have
// (0.1 ms), and encoding/json any other one, and what is wrong.
func decode(data []byte) (*specs.Spec, error) {
	var usual, spec specs.Spec
	if readUsual(data, readDocument(&usual)) {
		return &usual, nil
	}
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

// readDocument reads the usual members of a configuration.
func readDocument(s *specs.Spec) reading {
	return readObject(
		member{"ociVersion", readText(&s.Version)},
		member{"process", readOptional(&s.Process, readProcess)},
		member{"root", readOptional(&s.Root, readRoot)},
		member{"hostname", readText(&s.Hostname)},
		member{"domainname", readText(&s.Domainname)},
		member{"mounts", readList(&s.Mounts, readMount)},
		member{"annotations", readTable(&s.Annotations, readText)},
		member{"linux", readOptional(&s.Linux, readLinux)},
	)
}

// readProcess reads the member process, or a process that is to be executed.
func readProcess(p *specs.Process) reading {
	return readObject(
		member{"terminal", readFlag(&p.Terminal)},
		member{"consoleSize", readOptional(&p.ConsoleSize, readBox)},
		member{"user", readUser(&p.User)},
		member{"args", readList(&p.Args, readText)},
		member{"env", readList(&p.Env, readText)},
		member{"cwd", readText(&p.Cwd)},
		member{"capabilities", readOptional(&p.Capabilities, readCapabilities)},
		member{"rlimits", readList(&p.Rlimits, readRlimit)},
		member{"noNewPrivileges", readFlag(&p.NoNewPrivileges)},
		member{"apparmorProfile", readText(&p.ApparmorProfile)},
		member{"oomScoreAdj", readOptional(&p.OOMScoreAdj, readNumber)},
		member{"selinuxLabel", readText(&p.SelinuxLabel)},
	)
}

// readBox reads process.consoleSize.
func readBox(b *specs.Box) reading {
	return readObject(member{"height", readNumber(&b.Height)}, member{"width", readNumber(&b.Width)})
}

// readUser reads process.user.
func readUser(u *specs.User) reading {
	return readObject(
		member{"uid", readNumber(&u.UID)},
		member{"gid", readNumber(&u.GID)},
		member{"umask", readOptional(&u.Umask, readNumber)},
		member{"additionalGids", readList(&u.AdditionalGids, readNumber)},
	)
}

// readCapabilities reads process.capabilities.
func readCapabilities(c *specs.LinuxCapabilities) reading {
	return readObject(
		member{"bounding", readList(&c.Bounding, readText)},
		member{"effective", readList(&c.Effective, readText)},
		member{"inheritable", readList(&c.Inheritable, readText)},
		member{"permitted", readList(&c.Permitted, readText)},
		member{"ambient", readList(&c.Ambient, readText)},
	)
}

// readRlimit reads one of process.rlimits.
func readRlimit(l *specs.POSIXRlimit) reading {
	return readObject(member{"type", readText(&l.Type)}, member{"hard", readNumber(&l.Hard)}, member{"soft", readNumber(&l.Soft)})
}

// readRoot reads the member root.
func readRoot(o *specs.Root) reading {
	return readObject(member{"path", readText(&o.Path)}, member{"readonly", readFlag(&o.Readonly)})
}

// readMount reads one of mounts.
func readMount(m *specs.Mount) reading {
	return readObject(
		member{"destination", readText(&m.Destination)},
		member{"type", readText(&m.Type)},
		member{"source", readText(&m.Source)},
		member{"options", readList(&m.Options, readText)},
		member{"uidMappings", readList(&m.UIDMappings, readIDMapping)},
		member{"gidMappings", readList(&m.GIDMappings, readIDMapping)},
	)
}

// readLinux reads the member linux.
func readLinux(l *specs.Linux) reading {
	return readObject(
		member{"uidMappings", readList(&l.UIDMappings, readIDMapping)},
		member{"gidMappings", readList(&l.GIDMappings, readIDMapping)},
		member{"sysctl", readTable(&l.Sysctl, readText)},
		member{"resources", readOptional(&l.Resources, readResources)},
		member{"cgroupsPath", readText(&l.CgroupsPath)},
		member{"namespaces", readList(&l.Namespaces, readNamespace)},
		member{"devices", readList(&l.Devices, readDevice)},
		member{"seccomp", readOptional(&l.Seccomp, readSeccomp)},
		member{"rootfsPropagation", readText(&l.RootfsPropagation)},
		member{"maskedPaths", readList(&l.MaskedPaths, readText)},
		member{"readonlyPaths", readList(&l.ReadonlyPaths, readText)},
		member{"mountLabel", readText(&l.MountLabel)},
		member{"timeOffsets", readTable(&l.TimeOffsets, readTimeOffset)},
	)
}

// readIDMapping reads one of linux.uidMappings or linux.gidMappings.
func readIDMapping(m *specs.LinuxIDMapping) reading {
	return readObject(
		member{"containerID", readNumber(&m.ContainerID)},
		member{"hostID", readNumber(&m.HostID)},
		member{"size", readNumber(&m.Size)},
	)
}

// readNamespace reads one of linux.namespaces.
func readNamespace(n *specs.LinuxNamespace) reading {
	return readObject(member{"type", readText(&n.Type)}, member{"path", readText(&n.Path)})
}

// readTimeOffset reads one of linux.timeOffsets.
func readTimeOffset(o *specs.LinuxTimeOffset) reading {
	return readObject(member{"secs", readNumber(&o.Secs)}, member{"nanosecs", readNumber(&o.Nanosecs)})
}

// readDevice reads one of linux.devices.
func readDevice(d *specs.LinuxDevice) reading {
	return readObject(
		member{"path", readText(&d.Path)},
		member{"type", readText(&d.Type)},
		member{"major", readNumber(&d.Major)},
		member{"minor", readNumber(&d.Minor)},
		member{"fileMode", readOptional(&d.FileMode, readNumber)},
		member{"uid", readOptional(&d.UID, readNumber)},
		member{"gid", readOptional(&d.GID, readNumber)},
	)
}

// readResources reads linux.resources.
func readResources(o *specs.LinuxResources) reading {
	return readObject(
		member{"devices", readList(&o.Devices, readDeviceRule)},
		member{"memory", readOptional(&o.Memory, readMemory)},
		member{"cpu", readOptional(&o.CPU, readProcessors)},
		member{"pids", readOptional(&o.Pids, readPids)},
		member{"blockIO", readOptional(&o.BlockIO, readBlockIO)},
		member{"unified", readTable(&o.Unified, readText)},
	)
}

// readDeviceRule reads one of linux.resources.devices.
func readDeviceRule(d *specs.LinuxDeviceCgroup) reading {
	return readObject(
		member{"allow", readFlag(&d.Allow)},
		member{"type", readText(&d.Type)},
		member{"major", readOptional(&d.Major, readNumber)},
		member{"minor", readOptional(&d.Minor, readNumber)},
		member{"access", readText(&d.Access)},
	)
}

// readMemory reads linux.resources.memory.
func readMemory(m *specs.LinuxMemory) reading {
	return readObject(
		member{"limit", readOptional(&m.Limit, readNumber)},
		member{"reservation", readOptional(&m.Reservation, readNumber)},
		member{"swap", readOptional(&m.Swap, readNumber)},
		member{"swappiness", readOptional(&m.Swappiness, readNumber)},
		member{"disableOOMKiller", readOptional(&m.DisableOOMKiller, readFlag)},
	)
}

// readProcessors reads linux.resources.cpu.
func readProcessors(c *specs.LinuxCPU) reading {
	return readObject(
		member{"shares", readOptional(&c.Shares, readNumber)},
		member{"quota", readOptional(&c.Quota, readNumber)},
		member{"period", readOptional(&c.Period, readNumber)},
		member{"realtimeRuntime", readOptional(&c.RealtimeRuntime, readNumber)},
		member{"realtimePeriod", readOptional(&c.RealtimePeriod, readNumber)},
		member{"cpus", readText(&c.Cpus)},
		member{"mems", readText(&c.Mems)},
	)
}

// readPids reads linux.resources.pids.
func readPids(p *specs.LinuxPids) reading {
	return readObject(member{"limit", readOptional(&p.Limit, readNumber)})
}

// readBlockIO reads linux.resources.blockIO, which some engines write, and leave empty.
func readBlockIO(*specs.LinuxBlockIO) reading { return readObject() }

// readSeccomp reads linux.seccomp.
func readSeccomp(c *specs.LinuxSeccomp) reading {
	return readObject(
		member{"defaultAction", readText(&c.DefaultAction)},
		member{"defaultErrnoRet", readOptional(&c.DefaultErrnoRet, readNumber)},
		member{"architectures", readList(&c.Architectures, readText)},
		member{"flags", readList(&c.Flags, readText)},
		member{"syscalls", readList(&c.Syscalls, readSystemCalls)},
	)
}

// readSystemCalls reads one of linux.seccomp.syscalls.
func readSystemCalls(c *specs.LinuxSyscall) reading {
	return readObject(
		member{"names", readList(&c.Names, readText)},
		member{"action", readText(&c.Action)},
		member{"errnoRet", readOptional(&c.ErrnoRet, readNumber)},
		member{"args", readList(&c.Args, readArgument)},
	)
}

// readArgument reads one of the args there.
func readArgument(a *specs.LinuxSeccompArg) reading {
	return readObject(
		member{"index", readNumber(&a.Index)},
		member{"value", readNumber(&a.Value)},
		member{"valueTwo", readNumber(&a.ValueTwo)},
		member{"op", readText(&a.Op)},
	)
}
