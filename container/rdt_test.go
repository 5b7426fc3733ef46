// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestPlanRdt plans groups on a made-up machine that has resctrl: which are made, what is written, and what is removed.
func TestPlanRdt(t *testing.T) {
	const make, write = "make the folder /r/", `write "`
	for name, test := range map[string]struct {
		asked specs.LinuxIntelRdt
		facts Resctrl
		want  []string
		left  []string
	}{
		"own group without shares": {
			specs.LinuxIntelRdt{},
			Resctrl{Mount: "/r"},
			[]string{make + "c", write + `0" to /r/c/tasks`},
			[]string{"/r/c"},
		},
		"own group": {
			specs.LinuxIntelRdt{Schemata: []string{"L2:0=f", "MB:0=30"}, MemBwSchema: "MB:0=20", L3CacheSchema: "L3:0=7"},
			Resctrl{Mount: "/r"},
			[]string{
				make + "c", write + `L3:0=7\n" to /r/c/schemata`, write + `MB:0=20\n" to /r/c/schemata`,
				write + `L2:0=f\n" to /r/c/schemata`, write + `MB:0=30\n" to /r/c/schemata`, write + `0" to /r/c/tasks`,
			},
			[]string{"/r/c"},
		},
		"new named group": {
			specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7"},
			Resctrl{Mount: "/r"},
			[]string{make + "gold", write + `L3:0=7\n" to /r/gold/schemata`, write + `0" to /r/gold/tasks`},
			nil,
		},
		"named group that is there": {
			specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7", EnableMonitoring: true},
			Resctrl{Mount: "/r", Exists: true, Schemata: "    MB:0=100\n    L3:0=7\n"},
			[]string{make + "gold/mon_groups/c", write + `0" to /r/gold/tasks`, write + `0" to /r/gold/mon_groups/c/tasks`},
			[]string{"/r/gold/mon_groups/c"},
		},
		"the top": {
			specs.LinuxIntelRdt{ClosID: "/"}, Resctrl{Mount: "/r", Exists: true}, []string{write + `0" to /r/tasks`}, nil,
		},
		"monitored": {
			specs.LinuxIntelRdt{EnableMonitoring: true},
			Resctrl{Mount: "/r"},
			[]string{make + "c", make + "c/mon_groups/c", write + `0" to /r/c/tasks`, write + `0" to /r/c/mon_groups/c/tasks`},
			[]string{"/r/c/mon_groups/c", "/r/c"},
		},
	} {
		spec, facts := Example(), madeUp()
		spec.Linux.IntelRdt, facts.Resctrl = &test.asked, test.facts
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, step := range program.Steps() {
			if said := step.Call.String(); strings.Contains(said, " /r/") {
				got = append(got, said)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: calls -want +got\n%s", name, diff)
		}
		if left := rdtLeft(&test.asked, test.facts, "c"); !slices.Equal(left, test.left) {
			t.Errorf("%s: to be removed are %q, want %q", name, left, test.left)
		}
	}
}

// TestRdtRefused refuses what the machine or the specification doesn't allow.
func TestRdtRefused(t *testing.T) {
	here := Resctrl{Mount: "/r"}
	there := Resctrl{Mount: "/r", Exists: true, Schemata: "    L3:0=f\n"}
	for want, test := range map[string]struct {
		asked specs.LinuxIntelRdt
		facts Resctrl
	}{
		": no resctrl file system is mounted here":   {specs.LinuxIntelRdt{}, Resctrl{}},
		`.closID "a/b" can't be`:                     {specs.LinuxIntelRdt{ClosID: "a/b", L3CacheSchema: "L3:0=7"}, here},
		`.closID ".." can't be`:                      {specs.LinuxIntelRdt{ClosID: "..", L3CacheSchema: "L3:0=7"}, here},
		`.closID "info" can't be`:                    {specs.LinuxIntelRdt{ClosID: "info", L3CacheSchema: "L3:0=7"}, here},
		`.memBwSchema "L3:0=7": MB: comes`:           {specs.LinuxIntelRdt{MemBwSchema: "L3:0=7"}, here},
		": a schema holds a line feed":               {specs.LinuxIntelRdt{Schemata: []string{"L3:0=7\nMB:0=1"}}, here},
		": the group /r/c is there already":          {specs.LinuxIntelRdt{}, there},
		`.closID "gold": there is no such`:           {specs.LinuxIntelRdt{ClosID: "gold"}, here},
		`.closID "gold": the group is there already`: {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7"}, there},
	} {
		spec, facts := Example(), madeUp()
		spec.Linux.IntelRdt, facts.Resctrl = &test.asked, test.facts
		if _, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"}); err == nil || !strings.HasPrefix(err.Error(), "linux.intelRdt"+want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
