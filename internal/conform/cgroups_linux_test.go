// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"stave/internal/witness"
)

// machineLayout is the layout of the machine's cgroups.
func machineLayout(t *testing.T) layout {
	t.Helper()
	mounts, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers") // where version 2 is not alone there is none
	return layoutOf(string(mounts), string(controllers))
}

// cgroups lists the groups of all hierarchies.
func cgroups(t *testing.T) []string {
	t.Helper()
	var all []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		return nil // a group may vanish meanwhile
	})
	return all
}

// validationGroups are the names of groups that programs of the validation make. They end some containers by ending their
// PID namespace, so that no runtime can delete their groups.
const validationGroups = `/(cgrouptest|testdir|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(/|$)`

// removeGroups removes the groups that were not there before and have a name as in the pattern, once the last processes in
// them have ended.
func removeGroups(t *testing.T, before []string, named *regexp.Regexp) {
	t.Helper()
	witness.Until(t, "what engines and the validation leave is removed: "+named.String(), func() bool {
		clean := true
		for _, group := range slices.Backward(cgroups(t)) { // the children of a group come after it
			if named.MatchString(group) && !slices.Contains(before, group) {
				err := os.Remove(group)
				clean = clean && (err == nil || os.IsNotExist(err))
			}
		}
		return clean
	})
}

// keepGiven takes back, in the end, the controllers that the runtime makes the top of the version 2 tree give away: in
// the layout empty it can't know that this tree is not for it.
func keepGiven(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.subtree_control")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			after, _ := os.ReadFile(file)
			for controller := range strings.FieldsSeq(string(after)) {
				if slices.Contains(strings.Fields(string(before)), controller) {
					continue
				}
				if err := os.WriteFile(file, []byte("-"+controller), 0); err != nil {
					t.Errorf("take back %s: %v", controller, err)
				}
			}
		})
	}
}
