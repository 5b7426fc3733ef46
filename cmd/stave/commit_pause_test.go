// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stave/internal/witness"
)

// TestCommitPauses commits a container that writes to two files in turn, of which one is read long after the other: the image has both as
// they were at one moment. Then the container goes on.
func TestCommitPauses(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := filepath.Join(folder(t), "state")
	must(t, state, "import", makeBox(t), "box")
	l := start(t, staveIn(state, "run", "--name", "busy", "box", "sh", "-c",
		"head -c 50000000 /dev/urandom > /m; echo ready; while :; do echo x >> /a; echo x >> /z; done"))
	id := strings.TrimSpace(must(t, state, "ps", "-aq", "--no-trunc"))
	size := func() int64 {
		stat, err := os.Stat(filepath.Join(state, "containers", id, "diff/z"))
		if err != nil {
			return 0
		}
		return stat.Size()
	}
	witness.Until(t, "it writes", func() bool { return size() > 0 })
	must(t, state, "commit", "busy", "made")
	after := size()
	witness.Until(t, "it goes on", func() bool { return size() > after })
	l.kill()
	l.end()
	got := must(t, state, "run", "--rm", "made", "sh", "-c", "a=$(wc -l < /a) z=$(wc -l < /z); echo $a $((a - z))")
	if lines, more, _ := strings.Cut(strings.TrimSpace(got), " "); lines == "0" || more != "0" && more != "1" {
		t.Errorf("one file has %s lines, %s more than the other", lines, more)
	}
}
