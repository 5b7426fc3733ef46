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

// TestFakeProc puts other things where the runtime and the container have /proc: a link of the image, a folder of the host
// over it (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). Either that is refused, or what the runtime writes to /proc
// goes to the real one, and no piece of that is in the container without its protection.
func TestFakeProc(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	over := func(destination string) change { return bound(destination, "rbind") }
	for name, c := range map[string]struct {
		change  change
		before  func(t *testing.T, dir string)
		refused string
	}{
		"link to a folder":    {before: link("proc", "data"), refused: "mount proc on /proc"},
		"link to the root":    {before: link("proc", "/"), refused: "mount proc on /proc"},
		"link to itself":      {before: link("proc", "/proc/self/root/proc"), refused: "mount proc on /proc"},
		"folder over it":      {change: over("/proc")},
		"folder below it":     {change: over("/proc/sys")},
		"attributes":          {change: over("/proc/self/attr")},
		"in place of it":      {change: func(s *specs.Spec) { noMount("/proc")(s); over("/proc")(s) }},
		"tmpfs over it":       {change: addMount("/proc", "tmpfs", "tmpfs")},
		"link in the way":     {change: addMount("/data/proc", "proc", "proc"), before: link("data", "/tmp"), refused: "mount proc on /data/proc"},
		"sysfs over a link":   {before: link("sys", "/proc"), refused: "mount sysfs on /sys"},
		"sysctl in a fake":    {change: func(s *specs.Spec) { over("/proc")(s); sysctl(s) }},
		"sysctl over the sys": {change: func(s *specs.Spec) { over("/proc/sys")(s); sysctl(s) }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(*specs.Spec) {}
			}
			dir := newBundle(t, "test -e /proc/self/mountinfo && cat /proc/self/mountinfo; /bin/inside ttl; for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do test ! -w $f || echo h >$f; done; exit 0", dockerLike(t), c.change)
			putInside(t, dir)
			fakeProc(t, dir)
			if c.before != nil {
				c.before(t, dir)
			}
			files := tree(t, filepath.Join(dir, "bound"))
			got := run(t, oci(dir))
			if c.refused != "" && (got.code != 1 || !strings.Contains(got.err, c.refused)) || c.refused == "" && got.code != 0 {
				t.Errorf("%+v", got)
			}
			checkProcMounts(t, got.out)
			if strings.HasPrefix(name, "sysctl") != strings.Contains(got.out, "ttl 77\n") {
				t.Errorf("the parameter of the container's own: %s", got.out)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "bound/trap")); err != nil || strings.Contains(string(text), "77") {
				t.Errorf("the file that the fake leads to has %q, %v", text, err)
			}
			if now := tree(t, filepath.Join(dir, "bound")); len(now) != len(files) {
				t.Errorf("files were made: %q", now)
			}
		})
	}
}

// sysctl sets a parameter of the container's network.
func sysctl(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"} }

// fakeProc makes the bundle's folder bound one that looks like /proc, or /proc/sys, and leads what is written there to one file.
func fakeProc(t *testing.T, dir string) {
	t.Helper()
	fake := filepath.Join(dir, "bound")
	put(t, filepath.Join(dir, "rootfs/trap"), "", 0o666)
	for _, name := range []string{"self/attr", "thread-self/attr", "sys/net/ipv4", "sys/kernel", "net/ipv4"} {
		if err := os.MkdirAll(filepath.Join(fake, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, fake+"/trap", "", 0o666)
	for name, to := range map[string]string{
		"self/attr/exec": "../../trap", "sys/net/ipv4/ip_default_ttl": "../../../trap", "net/ipv4/ip_default_ttl": "../../trap",
		"sysrq-trigger": "trap", "keys": "trap", "sys/kernel/core_pattern": "../../trap",
	} {
		if err := os.Symlink(to, filepath.Join(fake, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNullOfTheImage has something else for /dev/null in an image whose /dev is no mount (CVE-2025-31133): nothing is hidden
// behind that, and no container comes of it.
func TestNullOfTheImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, make := range map[string]func(null string) error{
		"link":       func(null string) error { return os.Symlink("/proc/sys/kernel/core_pattern", null) },
		"trigger":    func(null string) error { return os.Symlink("/proc/sysrq-trigger", null) },
		"file":       func(null string) error { return os.WriteFile(null, []byte("secret"), 0o666) },
		"pipe":       func(null string) error { return unix.Mkfifo(null, 0o666) },
		"folder":     func(null string) error { return os.Mkdir(null, 0o755) },
		"other node": func(null string) error { return unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "echo the command runs", writable, func(s *specs.Spec) { s.Mounts = s.Mounts[:1] })
			if err := make(filepath.Join(dir, "rootfs/dev/null")); err != nil {
				t.Fatal(err)
			}
			if got := run(t, oci(dir)); got.code != 1 || got.out != "" || !strings.Contains(got.err, "mask /proc/") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestProtectedPaths writes to what is masked or read-only, and again after trying to take the protection away, with docker's
// rights and in a user namespace of its own, where it has all capabilities. What it writes would do no harm: a file gets what
// it has, and sysrq-trigger its letter for help.
func TestProtectedPaths(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, changes := range map[string][]change{"filtered": nil, "unfiltered": {unfiltered}} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "", append([]change{dockerLike(t)}, append(changes, func(s *specs.Spec) { s.Process.Args = []string{"/bin/inside", "protected"} })...)...)
			putInside(t, dir)
			got := run(t, oci(dir))
			if !strings.HasSuffix(got.out, "tried\n") || got.code != 0 {
				t.Fatalf("%+v", got)
			}
			own := strings.Contains(got.out, "own namespace: <nil>")
			if own != (name == "unfiltered") {
				t.Errorf("a user namespace inside: %v\n%s", own, got.out)
			}
			for line := range strings.Lines(got.out) {
				if strings.HasPrefix(line, "REACHED") {
					t.Error(line)
				}
			}
			t.Log(got.out)
		})
	}
}

// TestNoNewPrivileges executes a program of a hostile image that belongs to root and is set-user-ID.
func TestNoNewPrivileges(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, c := range map[string]struct {
		none bool
		want string
	}{"none": {true, "1000\n"}, "as the image has it": {false, "0\n"}} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "", dockerLike(t), func(s *specs.Spec) {
				s.Process.User, s.Process.NoNewPrivileges, s.Process.Args = specs.User{UID: 1000, GID: 1000}, c.none, []string{"/bin/inside", "user"}
			})
			putInside(t, dir)
			if err := os.Chmod(filepath.Join(dir, "rootfs/bin/inside"), 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
			if got := run(t, oci(dir)); got.out != c.want {
				t.Errorf("run: %+v", got)
			}
			k := create(t, dir)
			if got := do(t, "exec", k.id, "/bin/inside", "user"); got.out != c.want {
				t.Errorf("exec: %+v", got)
			}
		})
	}
}

// TestNamesThatClimb gives names with ".." to what the runtime makes in the root. Nothing is made outside.
func TestNamesThatClimb(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	const up = "/../../../../../../../.."
	for name, c := range map[string]func(outside string) change{
		"device": func(outside string) change {
			return func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev" + up + outside + "/node", Type: "c", Major: 1, Minor: 3}}
			}
		},
		"mount":  func(outside string) change { return addMount("/data"+up+outside+"/made", "tmpfs", "tmpfs") },
		"bind":   func(outside string) change { return bound(".."+up+outside+"/made", "rbind") },
		"folder": func(outside string) change { return func(s *specs.Spec) { s.Process.Cwd = up + outside + "/made" } },
		"masked": func(outside string) change {
			return func(s *specs.Spec) {
				s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = []string{up + outside}, []string{"/.." + outside}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			outside := folder(t)
			dir := newBundle(t, "echo ran", writable, c(outside))
			makeFolder(t, filepath.Join(dir, "bound"), 0o755)
			if got := run(t, oci(dir)); got.code != 0 && got.code != 1 {
				t.Errorf("%+v", got)
			}
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside there is %v, %v", entries, err)
			}
		})
	}
}
