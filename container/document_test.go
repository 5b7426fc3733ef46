// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// members returns the JSON names of a struct's fields that concern Linux.
func members(value any) []string {
	var names []string
	t := reflect.TypeOf(value)
	for f := range t.Fields() {
		platform := f.Tag.Get("platform")
		if platform != "" && !strings.Contains(platform, "linux") {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestDocumentHasAllMembers fails when the specification gets a member that document doesn't have.
func TestDocumentHasAllMembers(t *testing.T) {
	for name, c := range map[string]struct{ ours, theirs any }{
		"spec":      {document{}, specs.Spec{}},
		"process":   {processDocument{}, specs.Process{}},
		"linux":     {linuxDocument{}, specs.Linux{}},
		"resources": {resourcesDocument{}, specs.LinuxResources{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(members(c.theirs), members(c.ours)); diff != "" {
				t.Errorf("members (-specification +document):\n%s", diff)
			}
		})
	}
}

// TestDecodeEqualsWhole reads configurations in both ways.
func TestDecodeEqualsWhole(t *testing.T) {
	rootless := Example()
	Rootless(rootless, 1000, 1000)
	rare := Example()
	rare.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"}
	rare.Linux.Resources.Unified = map[string]string{"memory.max": "1"}
	for name, want := range map[string]*specs.Spec{"example": Example(), "rootless": rootless, "rare members": rare} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var whole specs.Spec
			if err := json.Unmarshal(data, &whole); err != nil {
				t.Fatal(err)
			}
			got, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&whole, got); diff != "" {
				t.Errorf("(-whole +decode):\n%s", diff)
			}
		})
	}
}
