// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// filling is a command that runs while the disk gets full.
type filling struct {
	// prepare makes what the command needs in the state folder.
	prepare [][]string
	args    []string
	code    int // when the disk is full
	done    func(s *store)
}

// TestFullDisk runs commands on a file system that has room for a part of what they write. Each says so, leaves a consistent store, and
// works when there is room.
func TestFullDisk(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:docker-registry", "filesystem:overlay")
	k := newKilling(t)
	load := []string{"load", "--quiet", "-i", k.archive}
	name := k.registry + "/victim:1"
	// What a container writes is not stave's work, and so is what tells it that the disk is full; a whole MB is always more than there is.
	change := []string{"run", "--name", "changed", "victim:1", "sh", "-c", "rm -r /data0; dd if=/dev/zero of=/big bs=1M count=4 2>/dev/null"}
	for name, it := range map[string]filling{
		"pull":   {nil, []string{"pull", "--quiet", name}, 1, func(s *store) { s.has(name); s.exact() }},
		"load":   {nil, load, 1, func(s *store) { s.has("docker.io/library/victim:2"); s.exact() }},
		"import": {nil, []string{"import", k.plain(t), "made:1"}, 1, func(s *store) { s.has("docker.io/library/made:1") }},
		"commit": {[][]string{load, change}, []string{"commit", "changed", "made:1"}, 1, func(s *store) { s.has("docker.io/library/made:1") }},
		"run":    {[][]string{{"pull", "--quiet", "--unpack=false", name}}, []string{"run", "--rm", name, "true"}, 125, func(s *store) { s.has(name) }},
		"create": {[][]string{load}, []string{"run", "--name", "one", "victim:1", "true"}, 125, func(*store) {}},
	} {
		t.Run(name, func(t *testing.T) {
			need := it.need(t)
			for _, part := range []float64{0, 0.3, 0.9} {
				it.try(t, k.layers, int64(part*float64(need)))
			}
		})
	}
}

// plain is an archive of a root file system.
func (k *killing) plain(t *testing.T) string {
	t.Helper()
	name := filepath.Join(k.dir, "root.tar")
	state := k.copy(t)
	must(t, stave(state, "run", "--name", "one", "victim:1", "true"))
	must(t, stave(state, "export", "-o", name, "one"))
	return name
}

// roomy is a size of a file system that is enough for all.
const roomy = "64m"

// need is how much room the command takes.
func (it filling) need(t *testing.T) int64 {
	t.Helper()
	dir := memory(t, roomy)
	for _, args := range it.prepare {
		must(t, stave(dir, args...))
	}
	before := used(t, dir)
	must(t, stave(dir, it.args...))
	return used(t, dir) - before
}

// used is how many bytes of a file system are taken.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize
}

// try runs the command with so many bytes of room, and then with enough.
func (it filling) try(t *testing.T, known *layers, room int64) {
	t.Helper()
	dir := memory(t, roomy)
	for _, args := range it.prepare {
		must(t, stave(dir, args...))
	}
	resize(t, dir, fmt.Sprint(max(used(t, dir)+room, 4096))) // 0 would mean no limit
	got := run(t, stave(dir, it.args...))
	when := fmt.Sprintf("with room for %d bytes", room)
	advice := regexp.MustCompile(`make room|free some space`)
	if got.code != it.code || !strings.Contains(got.err, "no space left on device") || !advice.MatchString(got.err) {
		t.Errorf("%s: exit code %d, want %d; it says: %s", when, got.code, it.code, got.err)
	}
	s := known.look(dir)
	s.fail(t, when)
	if _, err := os.Stat(s.at("images/oci-layout")); err == nil {
		must(t, stave(dir, "images"))
	}
	resize(t, dir, roomy)
	if got := run(t, stave(dir, it.args...)); got.code != 0 {
		t.Errorf("%s, and then enough: exit code %d: %s", when, got.code, got.err)
	}
	s = known.look(dir)
	s.tidy()
	it.done(s)
	s.fail(t, when+", and then enough")
}

// resize gives a file system in memory another size.
func resize(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size="+size); err != nil {
		t.Fatalf("resize: %v", err)
	}
}

// TestMakeRoom removes a container while there is no room at all, and images while there is room for little more than a new index.json.
func TestMakeRoom(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	dir := memory(t, roomy)
	archive := filepath.Join(t.TempDir(), "victims.tar")
	victims(t, archive)
	must(t, stave(dir, "load", "-i", archive))
	must(t, stave(dir, "run", "--name", "one", "victim:1", "sh", "-c", "echo written >/file"))
	full := used(t, dir)
	resize(t, dir, fmt.Sprint(full))
	known := newLayers()
	const little = 16 << 10
	for i, args := range [][]string{{"rm", "one"}, {"rmi", "victim:1"}, {"image", "prune", "-a", "-f"}} {
		if i > 0 {
			resize(t, dir, fmt.Sprint(full+little))
		}
		must(t, stave(dir, args...))
		s := known.look(dir)
		s.tidy()
		s.exact()
		s.fail(t, strings.Join(args, " "))
		now := used(t, dir)
		if now >= full {
			t.Errorf("%q made no room: %d bytes are taken, %d were", args, now, full)
		}
		full = now
	}
}
