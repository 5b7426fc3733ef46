// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAnnotatedProperties reads properties of every type, in the order of their names, and leaves other annotations alone.
func TestAnnotatedProperties(t *testing.T) {
	got, err := AnnotatedProperties(map[string]string{
		"org.systemd.property.CollectMode":    "'inactive-or-failed'",
		"org.systemd.property.TimeoutStopSec": "uint64 123",
		"org.systemd.property.RuntimeMaxUSec": "uint64 7",
		"org.systemd.property.Delegate":       "true",
		"org.systemd.property.After":          "['a.service', 'b.service']",
		"org.systemd.property.StartupSec":     "1.5",
		"org.systemd.propertyX":               "(", "run.oci.handler": "wasm",
	})
	want := []Property{
		{"After", []string{"a.service", "b.service"}},
		{"CollectMode", "inactive-or-failed"},
		{"Delegate", true},
		{"RuntimeMaxUSec", uint64(7)},
		{"StartupUSec", uint64(1_500_000)},
		{"TimeoutStopUSec", uint64(123_000_000)},
	}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v -want +got\n%s", err, cmp.Diff(want, got))
	}
	for key, value := range map[string]string{"X": "1", "A.B": "true", "": "true", "Mode": "(", "TimeSec": "'x'", "LongSec": "-1", "Kill_Mode": "'x'"} {
		if got, err := AnnotatedProperties(map[string]string{"org.systemd.property." + key: value}); err == nil || !strings.HasPrefix(err.Error(), "annotation org.systemd.property."+key+": ") {
			t.Errorf("%s=%s: %v %v", key, value, got, err)
		}
	}
}

// TestScopeAsks looks for the properties of annotations behind all others: of two with one name systemd takes the last.
func TestScopeAsks(t *testing.T) {
	s := Scope{Unit: Unit{Name: "a.scope", Slice: "b.slice"}, Limits: []Property{{"MemoryMax", uint64(4096)}}, Asked: []Property{{"Delegate", false}, {"TimeoutStopUSec", uint64(5)}}}
	list := s.properties()
	if diff := cmp.Diff(s.Asked, list[len(list)-2:]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if text := s.String(); !strings.Contains(text, "TimeoutStopUSec") || !strings.Contains(s.Shell(), "TimeoutStopUSec t 5") {
		t.Errorf("%s; %s", text, s.Shell())
	}
}
