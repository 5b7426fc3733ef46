// SPDX-License-Identifier: Apache-2.0

package container

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/cgroups"
	"stave/kernel"
	"stave/security"
)

// update asks for the golden files to be written anew.
var update = flag.Bool("update", false, "write the golden files anew")

// madeUp are the facts of a machine that does not exist, with cgroup v1 as Debian had it.
func madeUp() Facts {
	layout := cgroups.Layout{Hierarchies: []cgroups.Hierarchy{
		{Version: 1, Controllers: []string{"cpu", "cpuacct"}, Mount: "/sys/fs/cgroup/cpu,cpuacct", Own: "/session"},
		{Version: 1, Controllers: []string{"memory"}, Mount: "/sys/fs/cgroup/memory", Own: "/"},
		{Version: 1, Controllers: []string{"devices"}, Mount: "/sys/fs/cgroup/devices", Own: "/"},
		{Version: 2, Mount: "/sys/fs/cgroup/unified", Own: "/session"},
	}}
	return inGroup(Facts{
		Security: security.Facts{LastCapability: 40},
		IsFile:   map[string]bool{"/bundle/hosts": true},
		Cgroups:  layout, Born: true, Root: true,
		Kcore: true, OwnStdio: []int{0, 1, 2}, HasHelpers: true,
	})
}

// inGroup gives the container of facts the group that it has by default.
func inGroup(f Facts) Facts {
	g, err := f.Cgroups.Group("/made-up", "")
	if err != nil {
		panic(err)
	}
	f.Group = g
	return f
}

// madeUpV2 are the facts of such a machine with cgroup v2.
func madeUpV2() Facts {
	f := madeUp()
	f.Cgroups = cgroups.Sample(cgroups.V2)
	return inGroup(f)
}

// inUnit gives the container of facts a unit of systemd.
func inUnit(f Facts) Facts {
	unit, err := cgroups.ParseUnit("machine.slice:test:golden", "golden", false)
	if err != nil {
		panic(err)
	}
	f.Unit = unit
	if f.Group, err = f.Cgroups.UnitGroup(unit, ""); err != nil {
		panic(err)
	}
	return f
}

// rich is a configuration that uses most of what can be asked for.
func rich() *specs.Spec {
	s := Example()
	s.Hostname, s.Domainname = "rich", "example"
	s.Root.Readonly = true
	s.Process.Terminal = true
	s.Process.ConsoleSize = &specs.Box{Height: 24, Width: 80}
	s.Process.User = specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5, 44}, Umask: new(uint32(0o027))}
	s.Process.Cwd = "/home/user"
	s.Process.OOMScoreAdj = new(500)
	s.Process.NoNewPrivileges = false
	s.Process.Rlimits = append(s.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_CORE"})
	s.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
	s.Process.Capabilities.Ambient = []string{"CAP_KILL"}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: "hosts", Options: []string{"bind", "ro", "nosuid"}},
		specs.Mount{Destination: "/data", Source: "/srv/data", Options: []string{"rbind", "rslave"}},
		specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=1777", "size=1m"}},
	)
	richLinux(s.Linux)
	return s
}

// richLinux is the part of it that concerns Linux.
func richLinux(l *specs.Linux) {
	for i, n := range l.Namespaces {
		if n.Type == specs.NetworkNamespace {
			l.Namespaces[i].Path = "/run/netns/blue"
		}
	}
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace}, specs.LinuxNamespace{Type: specs.TimeNamespace})
	l.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	l.GIDMappings = []specs.LinuxIDMapping{{HostID: 200000, Size: 65536}}
	l.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 60}, "monotonic": {Secs: 7, Nanosecs: 5}}
	l.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}
	l.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: new(fs.FileMode(0o660)), UID: new(uint32(1000))}}
	l.RootfsPropagation = "rslave"
	l.Personality = &specs.LinuxPersonality{Domain: "LINUX32"}
	l.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: specs.ActErrno, ErrnoRet: new(uint(1))}},
	}
}

// userFacts are the facts of the same machine for an ordinary user.
func userFacts() Facts {
	f := madeUp()
	f.UID, f.Root, f.HasHelpers, f.Group = 1000, false, false, cgroups.Group{} // nothing is delegated
	return f
}

// TestPlanGolden compares whole programs, call by call with their reasons, with golden files.
func TestPlanGolden(t *testing.T) {
	rootless := Example()
	Rootless(rootless, 1000, 1000)
	limited := Example()
	limited.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(96 << 20))}
	limited.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(20))}
	for name, test := range map[string]struct {
		spec  *specs.Spec
		facts Facts
	}{
		"example":  {Example(), madeUp()},
		"rootless": {rootless, userFacts()},
		"rich":     {rich(), madeUp()},
		"limits":   {limited, madeUpV2()},
		"systemd":  {limited, inUnit(madeUpV2())},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := Plan(&Bundle{Dir: "/bundle", Spec: test.spec}, test.facts, Options{ID: "golden"})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, step := range program.Steps() {
				fmt.Fprintf(&text, "%s\n\t%s\n", step, step.Call.Why)
				if len(step.Call.Ignore) > 0 {
					fmt.Fprintf(&text, "\tpassed over: %v\n", step.Call.Ignore)
				}
			}
			golden(t, filepath.Join("testdata", name+".txt"), text.String())
		})
	}
}

// golden compares a text with a file, or writes the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-update writes it anew): -want +got:\n%s", file, diff)
	}
}

// TestPlanIsPure plans twice and compares, and looks whether the configuration is as before.
func TestPlanIsPure(t *testing.T) {
	for range 20 { // maps come in another order each time
		spec, facts := rich(), madeUp()
		b := &Bundle{Dir: "/bundle", Spec: spec}
		first, err := Plan(b, facts, Options{})
		if err != nil {
			t.Fatal(err)
		}
		second, err := Plan(b, facts, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(words(first), words(second)); diff != "" {
			t.Fatalf("two plans of one configuration: %s", diff)
		}
		if diff := cmp.Diff(rich(), spec); diff != "" {
			t.Fatalf("the plan changed the configuration: %s", diff)
		}
	}
}

// words are the texts of a program's calls.
func words(p kernel.Program) []string {
	var list []string
	for _, step := range p.Steps() {
		list = append(list, step.String())
	}
	return list
}

// TestOrder checks what has to come before what, in all programs: each pair is a text of an earlier and a text
// of a later call.
func TestOrder(t *testing.T) {
	plain := rich()
	plain.Process.NoNewPrivileges = true
	for name, test := range map[string]struct {
		spec  *specs.Spec
		pairs [][2]string
	}{
		"filter without no_new_privs needs a capability": {rich(), [][2]string{{"seccomp filter", "set the capabilities"}}},
		"filter with no_new_privs comes late":            {plain, [][2]string{{"set the capabilities", "seccomp filter"}, {"no new privileges", "seccomp filter"}}},
		"both": {rich(), [][2]string{
			{"let nobody look", "mount proc"},
			{"pivot_root", "limit nofile"},
			{"ip_forward", "pivot_root"},
			{"open a terminal", "pivot_root"},
			{"limit nofile", "become user"},
			{"mask", "pivot_root"},
			{"close the descriptors that", "enter the working directory"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := Plan(&Bundle{Dir: "/bundle", Spec: test.spec}, madeUp(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			list := words(program)
			for _, pair := range test.pairs {
				first, second := index(list, pair[0]), index(list, pair[1])
				if first < 0 || second < 0 || first > second {
					t.Errorf("%q is call %d, %q is call %d of:\n%s", pair[0], first, pair[1], second, strings.Join(list, "\n"))
				}
			}
		})
	}
}

// index returns the place of the first text that holds a part.
func index(list []string, part string) int {
	return slices.IndexFunc(list, func(s string) bool { return strings.Contains(s, part) })
}
