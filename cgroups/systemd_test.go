// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestParseUnit reads paths as runc's docs/systemd.md has them, and refuses others with the reason.
func TestParseUnit(t *testing.T) {
	cases := map[string]struct {
		path     string
		rootless bool
		want     Unit
		fails    string
	}{
		"scope":              {path: "machine.slice:libpod:abc", want: Unit{"libpod-abc.scope", "machine.slice", false}},
		"nothing":            {want: Unit{"stave-id.scope", "system.slice", false}},
		"nothing, rootless":  {rootless: true, want: Unit{"stave-id.scope", "user.slice", true}},
		"rootless":           {path: "a.slice:p:n", rootless: true, want: Unit{"p-n.scope", "a.slice", true}},
		"empty slice":        {path: ":docker:abc", want: Unit{"docker-abc.scope", "system.slice", false}},
		"empty prefix":       {path: "a.slice::abc", want: Unit{"-abc.scope", "a.slice", false}},
		"topmost":            {path: "-:p:n", want: Unit{"p-n.scope", "-.slice", false}},
		"topmost, in full":   {path: "-.slice:p:n", want: Unit{"p-n.scope", "-.slice", false}},
		"deep slice":         {path: "a-b-c.slice:p:n", want: Unit{"p-n.scope", "a-b-c.slice", false}},
		"slice":              {path: "a.slice:p:a-b.slice", want: Unit{"a-b.slice", "a.slice", false}},
		"slice, alone":       {path: "::a-b-c.slice", want: Unit{"a-b-c.slice", "a-b.slice", false}},
		"slice at the top":   {path: "::a.slice", want: Unit{"a.slice", "-.slice", false}},
		"slice elsewhere":    {path: "b.slice:p:a-b.slice", fails: "a-b.slice lies in a.slice by its name, not in b.slice"},
		"the topmost itself": {path: "::-.slice", fails: "the topmost slice is the whole machine"},
		"a path":             {path: "/stave/a", fails: "it has 1 parts, not 3; for a path, leave out --systemd-cgroup"},
		"four parts":         {path: "a.slice:b:c:d", fails: "it has 4 parts"},
		"no name":            {path: "a.slice:b:", fails: "the name is empty"},
		"no slice":           {path: "a:b:c", fails: `"a" is no slice`},
		"just the ending":    {path: ".slice:b:c", fails: `".slice" is no slice`},
		"two dashes":         {path: "a--b.slice:b:c", fails: `"a--b.slice" is no slice`},
		"dash in front":      {path: "-a.slice:b:c", fails: `"-a.slice" is no slice`},
		"dash at the end":    {path: "::a-.slice", fails: `"a-.slice" is no slice`},
		"slash in slice":     {path: "a.slice/a-b.slice:b:c", fails: `a.slice/a-b.slice: a unit has no '/' in its name`},
		"slash in name":      {path: "a.slice:b:../c", fails: `b-../c.scope: a unit has no '/' in its name`},
		"plus in name":       {path: "a.slice:b:c+d", fails: `a unit has no '+' in its name`},
		"too long":           {path: "a.slice:b:" + strings.Repeat("n", 248), fails: "has 256 characters, a unit at most 255"},
		"longest":            {path: "a.slice:b:" + strings.Repeat("n", 247), want: Unit{"b-" + strings.Repeat("n", 247) + ".scope", "a.slice", false}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := ParseUnit(c.path, "id", c.rootless)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, %v; want an error with %q", got, err, c.fails)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// TestUnitGroup finds the folders of units: where they are, which of them systemd makes, and which are ours.
func TestUnitGroup(t *testing.T) {
	v1 := Layout{[]Hierarchy{
		{Version: 1, Controllers: []string{"memory"}, Mount: "/c/memory", Own: "/x"},
		{Version: 1, Controllers: []string{"name=systemd"}, Mount: "/c/systemd", Own: "/x"},
	}}
	v2 := Layout{[]Hierarchy{{Version: 2, Controllers: []string{"memory"}, Mount: "/c", Own: "/x/y"}}}
	mixed := Layout{append(v1.Hierarchies[:2:2], Hierarchy{Version: 2, Mount: "/c/unified", Own: "/x"})}
	cases := map[string]struct {
		layout       Layout
		path         string
		user         bool
		home         string
		made, others []string
		fails        string
	}{
		"v2":          {layout: v2, path: "a-b.slice:p:n", made: []string{"/c/a.slice/a-b.slice/p-n.scope"}},
		"v2, topmost": {layout: v2, path: "-:p:n", made: []string{"/c/p-n.scope"}},
		"v2, slice":   {layout: v2, path: "::a-b.slice", made: []string{"/c/a.slice/a-b.slice"}},
		"v2, rootless": {
			layout: v2, path: ":p:n", user: true, home: "/user.slice/user-1.slice/user@1.service",
			made: []string{"/c/user.slice/user-1.slice/user@1.service/user.slice/p-n.scope"},
		},
		"v1": {
			layout: v1, path: ":p:n",
			made: []string{"/c/systemd/system.slice/p-n.scope"}, others: []string{"/c/memory/system.slice/p-n.scope"},
		},
		"mixed": {
			layout: mixed, path: ":p:n",
			made:   []string{"/c/systemd/system.slice/p-n.scope", "/c/unified/system.slice/p-n.scope"},
			others: []string{"/c/memory/system.slice/p-n.scope"},
		},
		"v1, rootless":  {layout: v1, path: ":p:n", user: true, fails: "the cgroups here are v1"},
		"not systemd's": {layout: Layout{v1.Hierarchies[:1]}, path: ":p:n", fails: "systemd has no hierarchy here"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := ParseUnit(c.path, "", c.user)
			if err != nil {
				t.Fatal(err)
			}
			g, err := c.layout.UnitGroup(u, c.home)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("got %v, %v; want an error with %q", g, err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			made, others := g.BySystemd()
			if diff := cmp.Diff(c.made, paths(made)); diff != "" {
				t.Errorf("systemd's: -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(c.others, paths(others)); diff != "" {
				t.Errorf("ours: -want +got:\n%s", diff)
			}
			for _, f := range g.Folders {
				if ours := !f.bySystemd(); (len(f.New) > 0) != ours {
					t.Errorf("%s: ours to make are %v", f.Path, f.New)
				}
			}
		})
	}
}

// paths are the folders of a group.
func paths(g Group) []string {
	var list []string
	for _, f := range g.Folders {
		list = append(list, f.Path)
	}
	return list
}

// TestProperties compares what systemd is told of resources, in both versions.
func TestProperties(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	plain := func(n uint64) *uint64 { return &n }
	small := func(n uint16) *uint16 { return &n }
	null := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}, {Allow: true, Type: "b", Major: number(8), Access: "r"}}
	cases := map[string]struct {
		r      specs.LinuxResources
		now    Values
		v1, v2 []Property // nil: as in the other version, without devices
		fails  string
	}{
		"nothing": {},
		"memory": {
			r:  specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: number(1 << 26), Reservation: number(1 << 25), Swap: number(1 << 27)}},
			v1: []Property{{"MemoryLimit", uint64(1 << 26)}},
			v2: []Property{{"MemoryLow", uint64(1 << 25)}, {"MemoryMax", uint64(1 << 26)}, {"MemorySwapMax", uint64(1 << 26)}},
		},
		"no memory limit": {
			r:  specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: number(-1)}},
			v1: []Property{{"MemoryLimit", infinity}}, v2: []Property{{"MemoryMax", infinity}},
		},
		"shares": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: plain(2)}},
			v1: []Property{{"CPUShares", uint64(2)}}, v2: []Property{{"CPUWeight", uint64(1)}},
		},
		"half a processor": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: number(50_000), Period: plain(100_000)}},
			v1: []Property{{"CPUQuotaPerSecUSec", uint64(500_000)}, {"CPUQuotaPeriodUSec", uint64(100_000)}},
		},
		"rounded up": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: number(10_001), Period: plain(20_000)}},
			v1: []Property{{"CPUQuotaPerSecUSec", uint64(510_000)}, {"CPUQuotaPeriodUSec", uint64(20_000)}},
		},
		"period alone": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Period: plain(20_000)}},
			v1: []Property{{"CPUQuotaPerSecUSec", infinity}, {"CPUQuotaPeriodUSec", uint64(20_000)}},
		},
		"changed quota": {
			r:   specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: number(10_000)}},
			now: Values{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "20000", "cpu.max": "max 20000"},
			v1:  []Property{{"CPUQuotaPerSecUSec", uint64(500_000)}, {"CPUQuotaPeriodUSec", uint64(20_000)}},
		},
		"idle": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: number(1)}},
			v1: []Property{{"CPUWeight", uint64(0)}},
		},
		"cpuset": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-2,9", Mems: "0"}},
			v1: []Property{{"AllowedCPUs", []byte{0b111, 0b10}}, {"AllowedMemoryNodes", []byte{1}}},
		},
		"cpuset out of range": {r: specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "8192"}}, fails: "8192 is out of range"},
		"pids":                {r: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: number(50)}}, v1: []Property{{"TasksMax", uint64(50)}}},
		"any pids":            {r: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: number(-1)}}, v1: []Property{{"TasksMax", infinity}}},
		"disk": {
			r:  specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: small(500)}},
			v1: []Property{{"BlockIOWeight", uint64(500)}}, v2: []Property{{"IOWeight", ioWeight(500)}},
		},
		"unified": {
			r: specs.LinuxResources{Unified: map[string]string{
				"cpu.max": "max 50000", "cpu.weight": "77", "cpuset.cpus": "1", "hugetlb.2MB.max": "0", "io.weight": "default 40",
				"memory.high": "1048576", "memory.low": "4096", "memory.max": "2097152", "memory.min": "8192", "memory.swap.max": "max", "pids.max": "9",
			}},
			v2: []Property{
				{"CPUQuotaPerSecUSec", infinity},
				{"CPUQuotaPeriodUSec", uint64(50_000)},
				{"CPUWeight", uint64(77)},
				{"AllowedCPUs", []byte{2}},
				{"IOWeight", uint64(40)},
				{"MemoryHigh", uint64(1 << 20)},
				{"MemoryLow", uint64(4096)},
				{"MemoryMax", uint64(2 << 20)},
				{"MemoryMin", uint64(8192)},
				{"MemorySwapMax", infinity},
				{"TasksMax", uint64(9)},
			},
		},
		"unified after memory": {
			r: specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: number(1 << 26)}, Unified: map[string]string{"memory.max": "4096"},
			},
			v2: []Property{{"MemoryMax", uint64(4096)}},
		},
		"idle after shares": {
			r:  specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: plain(512)}, Unified: map[string]string{"cpu.idle": "1"}},
			v2: []Property{{"CPUWeight", uint64(0)}},
		},
		"no number": {r: specs.LinuxResources{Unified: map[string]string{"pids.max": "many"}}, fails: `"many" for pids.max as a property of systemd`},
		"devices": {
			r: specs.LinuxResources{Devices: null},
			v1: []Property{{"DevicePolicy", "strict"}, {"DeviceAllow", []AllowedDevice{
				{"block-*", "m"},
				{"char-*", "m"},
				{"block-8", "rm"},
				{"char-136", "rwm"},
				{"/dev/char/1:3", "rwm"},
				{"/dev/char/1:5", "rwm"},
				{"/dev/char/1:7", "rwm"},
				{"/dev/char/1:8", "rwm"},
				{"/dev/char/1:9", "rwm"},
				{"/dev/char/5:0", "rwm"},
				{"/dev/char/5:2", "rwm"},
				{"/dev/char/10:200", "rwm"},
			}}},
			v2: []Property{},
		},
	}
	for name, c := range cases {
		for version, want := range map[int][]Property{1: c.v1, 2: c.v2} {
			if c.r.Unified != nil && version == 1 {
				continue // unified is of version 2
			}
			t.Run(name+" in version "+string(rune('0'+version)), func(t *testing.T) {
				if want == nil {
					want = c.v1
				}
				got, err := unitGroup(t, version).properties(&c.r, c.now)
				if c.fails != "" {
					if err == nil || !strings.Contains(err.Error(), c.fails) {
						t.Fatalf("got %v, %v; want an error with %q", got, err, c.fails)
					}
					return
				}
				if c.r.Devices == nil && version == 1 && c.now == nil {
					got = got[:len(got)-2] // those of every container
				}
				if diff := cmp.Diff(want, got); err != nil || len(want)+len(got) > 0 && diff != "" {
					t.Errorf("%v; -want +got:\n%s", err, diff)
				}
			})
		}
	}
}

// unitGroup is the cgroup of a unit on a machine of a version.
func unitGroup(t *testing.T, version int) Group {
	t.Helper()
	l := Sample(map[int]string{1: V1, 2: V2}[version])
	l.Hierarchies = append(l.Hierarchies, Hierarchy{Version: version, Controllers: []string{"name=systemd"}, Mount: "/sys/fs/cgroup/systemd", Own: "/"})
	g, err := l.UnitGroup(Unit{"p-n.scope", "system.slice", false}, "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestDeviceProperties refuses what systemd can't hold of device rules: on a reload it would allow too much.
func TestDeviceProperties(t *testing.T) {
	eight, nine := int64(8), int64(9)
	cases := map[string]struct {
		rules []specs.LinuxDeviceCgroup
		want  []Property
		fails string
	}{
		"all":         {rules: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, want: []Property{{"DevicePolicy", "auto"}, {"DeviceAllow", []AllowedDevice{}}}},
		"all but one": {rules: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Type: "b", Major: &eight, Minor: &nine, Access: "rwm"}}, fails: "all but b 8:9"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := deviceProperties(c.rules)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("got %v, %v; want an error with %q", got, err, c.fails)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v; -want +got:\n%s", err, diff)
			}
		})
	}
}

// TestQuotaOutOfRange refuses a quota whose part of a second is no 64-bit number.
func TestQuotaOutOfRange(t *testing.T) {
	for _, quota := range []string{"18446744073709551614", "18446744073710"} {
		if list, err := quotaProperties(quota, "100000"); err == nil {
			t.Errorf("%s: %v", quota, list)
		}
	}
	if list, err := quotaProperties("9223372036854", ""); err != nil || list[0].Value.(uint64) > math.MaxInt64 {
		t.Errorf("%v, %v", list, err)
	}
}
