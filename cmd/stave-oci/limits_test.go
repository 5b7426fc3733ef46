// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// hierarchyOf is where the cgroups of a controller are (blkio in version 1, io in version 2): the version and the mount.
func hierarchyOf(t *testing.T, controller string) (version int, mount string) {
	t.Helper()
	for _, m := range witness.Mounts(t, 0) {
		if m.Type == "cgroup" && strings.Contains(","+m.Super+",", ","+controller+",") {
			return 1, m.Point
		}
		if m.Type == "cgroup2" {
			mount = m.Point
		}
	}
	return 2, mount
}

// groupsNamed lists the cgroups in the upper two levels of all hierarchies in whose paths a text is.
func groupsNamed(t *testing.T, part string) []string {
	t.Helper()
	var found []string
	for _, m := range witness.Mounts(t, 0) {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			continue
		}
		for _, pattern := range []string{"/*", "/*/*"} {
			dirs, _ := filepath.Glob(m.Point + pattern)
			for _, dir := range dirs {
				if !strings.Contains(dir, part) {
					continue
				}
				if info, err := os.Stat(dir); err == nil && info.IsDir() {
					found = append(found, dir)
				}
			}
		}
	}
	return found
}

// limited is memory of 64 MiB, 50 processes, and half a processor.
func limited(s *specs.Spec) {
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20))}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(50))}
	s.Linux.Resources.CPU = &specs.LinuxCPU{Quota: new(int64(50_000)), Period: new(uint64(100_000))}
}

// limitFiles are the files of a container in which it finds what limited says, and their contents.
func limitFiles(t *testing.T) (files []string, want string) {
	t.Helper()
	for _, it := range []struct{ controller, v1, value1, v2, value2 string }{
		{"memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864"},
		{"pids", "pids.max", "50", "pids.max", "50"},
		{"cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000"},
	} {
		version, mount := hierarchyOf(t, it.controller)
		if version == 1 {
			files = append(files, "/sys/fs/cgroup/"+filepath.Base(mount)+"/"+it.v1)
			want += it.value1 + "\n"
			continue
		}
		files = append(files, "/sys/fs/cgroup/"+it.v2)
		want += it.value2 + "\n"
	}
	return files, want
}

// TestLimitedFromTheFirstInstruction runs containers whose first act is to read their own limits and where they are: in
// a cgroup namespace that is the top, without one the group of the configuration.
func TestLimitedFromTheFirstInstruction(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	files, want := limitFiles(t)
	times := 200
	if testing.Short() {
		times = 20
	}
	command := func(s *specs.Spec) {
		s.Process.Args = append([]string{"cat"}, append(files, "/proc/self/cgroup")...)
	}
	for name, changes := range map[string][]change{
		"its own view": {limited, command}, "the host's view": {limited, command, without(specs.CgroupNamespace)},
		"user namespace": {limited, command, mapped},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "", changes...)
			place := "/"
			if name == "the host's view" {
				place = "/" + filepath.Base(dir)
			}
			groups := regexp.MustCompile(`^(\d+:[^:]*:` + place + "\n)+$")
			for n := range times * 2 / 5 {
				got := run(t, oci(dir))
				where, ok := strings.CutPrefix(got.out, want)
				if !ok || !groups.MatchString(where) || got.code != 0 {
					t.Fatalf("run %d: exit code %d, it saw\n%swant the limits\n%sand only the group %s; %s", n, got.code, got.out, want, place, got.err)
				}
			}
		})
	}
}

// leastLimit finds the least memory limit, in bytes and to the page, with which a runtime runs /bin/true; 0 if it doesn't.
func leastLimit(t *testing.T, runtime func(dir, id string) *exec.Cmd) int64 {
	t.Helper()
	witness.Need(t, "root", "command:busybox")
	page, n := int64(os.Getpagesize()), 0
	dir := newBundle(t, "", func(s *specs.Spec) {
		s.Process.Args, s.Version = []string{"/bin/true"}, "1.0.2" // crun 1.8 knows no later one
	})
	spec := readSpec(t, dir)
	works := func(limit int64) bool {
		write(t, dir, spec, func(s *specs.Spec) {
			s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
		})
		for range 2 {
			n++
			if run(t, runtime(dir, fmt.Sprintf("stave-test-least-%d-%d", os.Getpid(), n))).code != 0 {
				return false
			}
		}
		return true
	}
	low, high := int64(0), int64(16<<20) // low never works, high always
	if !works(high) {
		t.Logf("with %d bytes: %s", high, run(t, runtime(dir, "stave-test-least")).err)
		return 0
	}
	for high-low > page {
		if middle := (low + high) / 2 / page * page; works(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// TestLeastMemory compares the least memory limit in which /bin/true runs with those of the other runtimes that are here.
func TestLeastMemory(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	ours := leastLimit(t, func(dir, id string) *exec.Cmd {
		return exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, id)
	})
	t.Logf("stave-oci: %d KiB", ours>>10)
	if ours == 0 || ours > 512<<10 {
		t.Errorf("stave-oci runs /bin/true with %d KiB and more, want at most 512", ours>>10)
	}
	if testing.Short() {
		return
	}
	for _, name := range []string{"crun", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Logf("%s is not installed", name)
			continue
		}
		state := folder(t)
		least := leastLimit(t, func(dir, id string) *exec.Cmd { // crun refuses a v2 tree with controllers beside v1
			return exec.Command("unshare", "-m", "sh", "-c", `umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"`, "sh",
				name, "--root", state, "run", "--bundle", dir, id)
		})
		t.Logf("%s: %d KiB", name, least>>10)
		for _, dir := range groupsNamed(t, "/stave-test-least") {
			unix.Rmdir(dir) // what the other runtime has left of containers that did not start
		}
	}
}
