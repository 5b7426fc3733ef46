// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
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

// TestKilledCommit kills a commit while the container is paused for it. The next command lets the container go on.
func TestKilledCommit(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	state := filepath.Join(folder(t), "state")
	must(t, state, "import", makeBox(t), "box")
	l := start(t, staveIn(state, "run", "--name", "busy", "box", "sh", "-c", "head -c 50000000 /dev/urandom > /m; echo ready; while :; do echo x >> /a; done"))
	id := strings.TrimSpace(must(t, state, "ps", "-aq", "--no-trunc"))
	frozen := func() bool {
		for file, want := range map[string]string{"freezer/stave-%s/freezer.state": "FROZEN", "stave-%s/cgroup.freeze": "1"} {
			data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", fmt.Sprintf(file, id)))
			if err == nil && strings.TrimSpace(string(data)) == want {
				return true
			}
		}
		return false
	}
	c := staveIn(state, "commit", "busy", "made")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the container is paused", frozen)
	c.Process.Kill()
	wait(t, c)
	if !frozen() {
		t.Error("the commit had ended before it was killed: it shows nothing")
	}
	must(t, state, "ps")
	if frozen() {
		t.Error("the container stays paused")
	}
	if _, err := os.Stat(filepath.Join(state, "containers", id, "paused")); !os.IsNotExist(err) {
		t.Errorf("the mark of the pause: %v", err)
	}
	must(t, state, "rm", "-f", "busy")
	l.end()
}
