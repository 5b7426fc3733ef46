// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// TestRootPropagation looks at the root mount of containers whose root is to be shared or unbindable, on a machine whose
// own root is private, and on one where it is shared: pivot_root(2) and the bind of the root must work all the same.
func TestRootPropagation(t *testing.T) {
	witness.Need(t, "root", "command:unshare")
	for mode, tag := range map[string]string{"shared": " shared:", "rshared": " shared:", "unbindable": " unbindable ", "runbindable": " unbindable "} {
		for _, machine := range []string{"private", "shared"} {
			t.Run(mode+" on "+machine, func(t *testing.T) {
				dir := newBundle(t, `grep -E '^[^ ]+ [^ ]+ [^ ]+ [^ ]+ / ' /proc/self/mountinfo`, func(s *specs.Spec) { s.Linux.RootfsPropagation = mode })
				got := run(t, exec.Command("unshare", "--mount", "--propagation", machine, staveOCI, "--root", root, "run", "--bundle", dir, filepath.Base(dir)))
				if got.code != 0 || !strings.Contains(got.out, tag) {
					t.Errorf("the root mount is %q, want %q: %+v", got.out, tag, got)
				}
			})
		}
	}
}
