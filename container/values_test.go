// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnknownFieldsAreIgnored adds members that nobody knows at every depth: the program is the same.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	plan := func(text string) []string {
		t.Helper()
		spec, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
		if err != nil {
			t.Fatal(err)
		}
		return words(program)
	}
	data, err := json.Marshal(Example())
	if err != nil {
		t.Fatal(err)
	}
	more := strings.NewReplacer(`{"ociVersion"`, `{"futur":{"a":[1]},"ociVersion"`, `"process":{`, `"process":{"futur":7,`,
		`"linux":{`, `"linux":{"futur":[],`, `"annotations":{`, `"annotations":{"run.oci.futur":"x",`,
		`{"destination":"/proc"`, `{"futur":null,"destination":"/proc"`).Replace(string(data))
	if strings.Count(more, "futur") < 4 {
		t.Fatalf("nothing was added to %s", data)
	}
	if want, got := plan(string(data)), plan(more); strings.Join(want, "\n") != strings.Join(got, "\n") {
		t.Errorf("unknown fields change the program from\n%q to\n%q", want, got)
	}
}

// TestUnknownValuesAreRefused gives fields of all kinds a value that does not exist. The error names the field and the value.
func TestUnknownValuesAreRefused(t *testing.T) {
	bind := func(maps bool, options ...string) specs.Mount {
		m := specs.Mount{Destination: "/data", Type: "bind", Source: "/srv", Options: append(options, "rbind")}
		if maps {
			m.UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}}
			m.GIDMappings = m.UIDMappings
		}
		return m
	}
	for name, test := range map[string]struct {
		change func(*specs.Spec)
		say    []string
	}{
		"namespace":   {func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "ufo" }, []string{"linux.namespaces", "ufo"}},
		"clock":       {func(s *specs.Spec) { withClock(s, "wall") }, []string{"linux.timeOffsets", "wall"}},
		"device type": {func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "x"}} }, []string{"linux.devices", `"x"`}},
		"personality flag": {
			func(s *specs.Spec) {
				s.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX", Flags: []specs.LinuxPersonalityFlag{"X"}}
			},
			[]string{"linux.personality.flags", "X"},
		},
		"option of a bind":       {func(s *specs.Spec) { s.Mounts = append(s.Mounts, bind(false, "readonly")) }, []string{"/data", "readonly"}},
		"idmap without maps":     {func(s *specs.Spec) { s.Mounts = append(s.Mounts, bind(false, "idmap")) }, []string{"/data", "idmap"}},
		"ridmap without maps":    {func(s *specs.Spec) { s.Mounts = append(s.Mounts, bind(false, "ridmap")) }, []string{"/data", "idmap"}},
		"map of users alone":     {func(s *specs.Spec) { m := bind(true); m.GIDMappings = nil; s.Mounts = append(s.Mounts, m) }, []string{"/data", "both uidMappings and gidMappings"}},
		"map of groups alone":    {func(s *specs.Spec) { m := bind(true); m.UIDMappings = nil; s.Mounts = append(s.Mounts, m) }, []string{"/data", "both uidMappings and gidMappings"}},
		"propagation":            {func(s *specs.Spec) { s.Linux.RootfsPropagation = "wide" }, []string{"linux.rootfsPropagation", "wide"}},
		"limit":                  {func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, []string{"process.rlimits", "RLIMIT_X"}},
		"limit twice":            {func(s *specs.Spec) { s.Process.Rlimits = append(s.Process.Rlimits, s.Process.Rlimits[0]) }, []string{"process.rlimits", "twice"}},
		"sysctl of the machine":  {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, []string{"linux.sysctl", "vm.swappiness"}},
		"annotation for systemd": {func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.X-Y": "1"} }, []string{"org.systemd.property.X-Y"}},
		"score":                  {func(s *specs.Spec) { s.Process.OOMScoreAdj = new(2000) }, []string{"process.oomScoreAdj", "2000"}},
	} {
		spec, facts := Example(), madeUp()
		test.change(spec)
		if name == "annotation for systemd" {
			facts = inUnit(madeUpV2())
		}
		_, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"})
		for _, part := range test.say {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error does not say %q: %v", name, part, err)
			}
		}
	}
}

// withClock adds a time namespace with an offset of a clock.
func withClock(s *specs.Spec, clock string) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{clock: {Secs: 1}}
}

// TestAnnotationsWithoutSystemd leaves annotations for systemd alone where systemd makes no unit, and those of others always.
func TestAnnotationsWithoutSystemd(t *testing.T) {
	spec := Example()
	spec.Annotations = map[string]string{"org.systemd.property.X-Y": "1", "run.oci.seccomp.receiver": "/x", "a": ""}
	if _, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"}); err != nil {
		t.Error(err)
	}
}

// TestIDMapOfTheContainer maps a mount without a map of its own as the container's user namespace does.
func TestIDMapOfTheContainer(t *testing.T) {
	spec := rich()
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/mapped", Type: "bind", Source: "/srv", Options: []string{"rbind", "ridmap"}})
	program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if list := words(program); index(list, "u:0:100000:65536 g:0:200000:65536") < 0 {
		t.Errorf("no map like the container's in %q", list)
	}
}
