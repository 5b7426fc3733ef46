// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// tries is how often a race is run: a run of a container is some hundred times as long as one exchange.
func tries() int {
	if testing.Short() {
		return 10
	}
	return 30
}

// swapped is a folder of the host that two containers share. In one of them somebody exchanges two names all the time.
type swapped struct {
	attacker
	volume  string
	outside string // a folder of the host that none of them may reach
}

// swapNames makes the volume, fills it, and starts the exchange of two of its names.
func swapNames(t *testing.T, one, other string, fill func(s swapped)) swapped {
	t.Helper()
	dir := folder(t)
	s := swapped{volume: filepath.Join(dir, "volume"), outside: filepath.Join(dir, "outside")}
	for _, name := range []string{s.volume, s.outside} {
		makeFolder(t, name, 0o755)
	}
	fill(s)
	s.attacker = attack(t, "swap", []string{"/shared/" + one, "/shared/" + other}, addMount("/shared", "", s.volume, "bind"))
	return s
}

// race runs a container so often, with the volume in it, and looks at what each run says of its mounts. It returns how many
// containers ran.
func (s swapped) race(t *testing.T, script, at string, look func(out string), changes ...change) (ran int) {
	t.Helper()
	for range tries() {
		dir := newBundle(t, script, append([]change{writable, addMount(at, "", s.volume, "bind")}, changes...)...)
		if err := os.MkdirAll(dir+"/rootfs"+s.outside, 0o755); err != nil { // where a link leads to in the root
			t.Fatal(err)
		}
		got := run(t, oci(dir))
		if got.code == 0 {
			ran++
			look(got.out)
		} else if got.code != 1 || !strings.HasPrefix(got.err, "stave-oci: ") {
			t.Fatalf("%+v", got)
		}
	}
	if entries, err := os.ReadDir(s.outside); err != nil || len(entries) > 0 {
		t.Errorf("outside there is now %v, %v", entries, err)
	}
	if report := s.end(t); report != "map[alive:1]" {
		t.Errorf("the names were not exchanged: %s", report)
	}
	return ran
}

// TestMountPointSwapped mounts on a folder that somebody exchanges for a symbolic link to the host at that moment
// (CVE-2021-30465). The mount lands in the container's root, with its options, or the container is refused.
func TestMountPointSwapped(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	s := swapNames(t, "folder", "link", func(s swapped) {
		makeFolder(t, s.volume+"/folder", 0o755)
		if err := os.Symlink(s.outside, s.volume+"/link"); err != nil {
			t.Fatal(err)
		}
	})
	source := folder(t)
	const mark = "stave-test-mark"
	makeFolder(t, source+"/"+mark, 0o755)
	look := func(out string) {
		for line := range strings.Lines(out) {
			if strings.Contains(line, mark) && !strings.Contains(line, " ro,") {
				t.Errorf("a mount lacks its options: %s", line)
			}
		}
		if n := strings.Count(out, mark+" "); n != 2 {
			t.Errorf("%d of two mounts are in the container:\n%s", n, out)
		}
	}
	ran := s.race(t, "cat /proc/self/mountinfo", "/data", look,
		addMount("/data/folder/below/deep", "", source+"/"+mark, "bind", "ro"), addMount("/data/folder", "", source+"/"+mark, "bind", "ro"),
		addMount("/data/link/tmp", "tmpfs", "tmpfs"))
	if ran == 0 {
		t.Error("no container ran")
	}
}

// TestNullSwapped masks paths while somebody exchanges /dev/null for a symbolic link to a file of /proc (CVE-2025-31133), and
// TestConsoleSwapped opens a terminal while he does so with /dev/console (CVE-2025-52565): what is bound must be the device.
func TestNullSwapped(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	s := swapDevices(t, "null")
	ran := s.race(t, "cat /proc/self/mountinfo; stat -c '%t:%T' /proc/keys", "/dev", func(out string) {
		checkProcMounts(t, out)
		if !strings.HasSuffix(out, "\n1:3\n") {
			t.Errorf("what is to be masked is not the null device:\n%s", out)
		}
	}, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts[:1:1], s.Mounts[len(s.Mounts)-1]) // proc, and the volume
		s.Linux.MaskedPaths = []string{"/proc/keys"}                 // each one more needs the device at another moment
	})
	if !testing.Short() && (ran == 0 || ran == tries()) {
		t.Errorf("%d of %d containers ran: nobody was hindered, or everybody", ran, tries())
	}
}

// TestConsoleSwapped is told above.
func TestConsoleSwapped(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for _, name := range []string{"console", "pts"} {
		s := swapDevices(t, name)
		for range (tries() + 1) / 3 {
			dir := newBundle(t, "cat /proc/self/mountinfo; echo end", addMount("/dev", "", s.volume, "bind"), addMount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666"),
				noMount("/dev/shm"), noMount("/dev/mqueue"), func(s *specs.Spec) {
					s.Process.Terminal = true
					s.Mounts = append(s.Mounts[:1:1], s.Mounts[len(s.Mounts)-2:]...) // proc, then what is added
				})
			if got := runOnTerminal(t, oci(dir), 24, 80); got.code == 0 {
				checkProcMounts(t, got.out)
			}
		}
		if report := s.end(t); report != "map[alive:1]" {
			t.Errorf("the names were not exchanged: %s", report)
		}
	}
}

// swapDevices makes a volume that can be a /dev, and exchanges one of its names for a link to a file of /proc.
func swapDevices(t *testing.T, name string) swapped {
	t.Helper()
	return swapNames(t, name, "trap", func(s swapped) {
		makeFolder(t, s.volume+"/pts", 0o755)
		put(t, s.volume+"/console", "", 0o644)
		if err := unix.Mknod(s.volume+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/proc/sys/kernel/core_pattern", s.volume+"/trap"); err != nil {
			t.Fatal(err)
		}
	})
}

// checkProcMounts looks at a table of mounts: a piece of proc that is bound somewhere must be read-only.
//
//	36 35 0:32 /sys /proc/sys ro,relatime - proc proc rw
//	1  2  3    4    5         6           7 8
func checkProcMounts(t *testing.T, mounts string) {
	t.Helper()
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if !strings.Contains(line, " - proc ") || fields[3] == "/" {
			continue
		}
		if !strings.HasPrefix(fields[5], "ro") || fields[4] != "/proc"+fields[3] {
			t.Errorf("a piece of proc is bound: %s", line)
		}
	}
}
