// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"

	"stave/cgroups"
	"stave/internal/witness"
)

// TestCheckGroup refuses folders that are no cgroups, as a broken file may name them.
func TestCheckGroup(t *testing.T) {
	layout, err := cgroups.Read()
	if err != nil {
		t.Fatal(err)
	}
	good, err := layout.Group("/stave-test-nobody", "x")
	if err != nil {
		t.Fatal(err)
	}
	if len(good.Folders) == 0 {
		witness.Need(t, "cgroup2:memory")
	}
	if err := checkGroup(good); err != nil {
		t.Errorf("a cgroup: %v", err)
	}
	top := good.Folders[0].Top
	for name, f := range map[string]cgroups.Folder{
		"the root of the machine": {Path: "/"}, "a top": {Top: top, Path: top}, "a folder": {Top: "/usr", Path: "/usr/nonexistent"},
		"out of it": {Top: top, Path: top + "/../nonexistent"}, "beside it": {Top: top, Path: top + "x/nonexistent"},
		"made elsewhere": {Top: top, Path: top + "/x", New: []string{"/nonexistent"}}, "no top": {Path: top + "/x"},
		"a top that is gone": {Top: "/nonexistent/top", Path: "/nonexistent/top/x"},
	} {
		if err := checkGroup(cgroups.Group{Folders: []cgroups.Folder{f}}); err == nil || !strings.HasPrefix(err.Error(), "cgroup: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
