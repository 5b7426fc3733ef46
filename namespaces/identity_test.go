// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// nobody is the ordinary user of these tests, and his group.
const nobody = 65534

// roleVariable is set where the test binary runs as nobody.
const roleVariable = "STAVE_TEST_NOBODY"

// asNobody runs a test as an ordinary user: directly if the tests run as one, else in a process of its
// own. Around that, prepare may change the mount namespace.
func asNobody(t *testing.T, prepare func(), test func()) {
	t.Helper()
	if os.Getenv(roleVariable) != "" {
		test()
		return
	}
	witness.SharedRoot(t, func() {
		prepare()
		text, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		self := filepath.Join(t.TempDir(), "test")
		must(t, os.WriteFile(self, text, 0o755))
		for dir := filepath.Dir(self); dir != filepath.Dir(os.TempDir()); dir = filepath.Dir(dir) {
			must(t, os.Chmod(dir, 0o777|os.ModeSticky)) // nobody also writes: the coverage of a test needs a folder
		}
		cmd := exec.Command(self, "-test.v", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
		cmd.Env, cmd.Dir = append(os.Environ(), roleVariable+"=1"), "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("as nobody: %v\n%s", err, out)
		}
	})
}

// subordinate gives nobody ids in /etc/subuid and /etc/subgid, as this mount namespace sees them.
func subordinate(t *testing.T, line string) func() {
	return func() {
		witness.Need(t, "command:newuidmap", "command:newgidmap")
		file := filepath.Join(t.TempDir(), "subids")
		must(t, os.WriteFile(file, []byte(line), 0o644))
		for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
			if _, err := os.Stat(path); err != nil {
				t.Skip("needs " + path + " to mount over it")
			}
			must(t, unix.Mount(file, path, "", unix.MS_BIND, ""))
		}
	}
}

// nothing prepares nothing.
func nothing() {}

// refused starts a process that must fail in the call whose text begins so, and returns the error.
func refused(t testing.TB, c Config, call string, cause error) {
	t.Helper()
	_, err := start(t, c, "exit 0")
	var failed *kernel.CallError
	if !errors.As(err, &failed) || !strings.HasPrefix(failed.Call.String(), call) || cause != nil && !errors.Is(err, cause) {
		t.Errorf("error is %v, want one of %q with %v", err, call, cause)
	}
}

// own maps root to nobody alone.
func own(flags uintptr) Config {
	one := []IDMap{{0, nobody, 1}}
	return Config{New: flags, UIDs: one, GIDs: one, Mapping: Single}
}

func TestPrivilegedMap(t *testing.T) {
	witness.SharedRoot(t, func() {
		c := rooted(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
		c.UIDs = []IDMap{{0, 100000, 10}, {10, 7, 1}}
		got := output(t, c, "id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups")
		if diff := cmp.Diff("0 0 0 100000 10 10 7 1 allow", strings.Join(strings.Fields(got), " ")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		c.UIDs = []IDMap{{0, 100000, 10}, {5, 7, 1}}
		refused(t, c, `write "0 100000 10\n5 7 1\n" to /proc/$pid/uid_map`, unix.EINVAL)
	})
}

func TestSingleMap(t *testing.T) {
	asNobody(t, nothing, func() {
		c := own(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
		c.Hostname, c.Loopback = "mine", true
		got := output(t, c, "id -u; id -g; echo $$; cat /proc/sys/kernel/hostname /proc/self/uid_map /proc/self/setgroups")
		if diff := cmp.Diff("0 0 1 mine 0 65534 1 deny", strings.Join(strings.Fields(got), " ")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestSingleMapWithClocks(t *testing.T) {
	asNobody(t, nothing, func() {
		c := own(unix.CLONE_NEWUSER | unix.CLONE_NEWTIME | unix.CLONE_NEWPID)
		c.Offsets = map[string]Offset{"boottime": {Seconds: 86400 * 1000}}
		got := output(t, c, "id -u; echo $$; cut -c1-2 /proc/uptime")
		if diff := cmp.Diff("0 1 86", strings.Join(strings.Fields(got), " ")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestOrdinaryUserIsRefused asks for what the kernel keeps from an ordinary user.
func TestOrdinaryUserIsRefused(t *testing.T) {
	asNobody(t, nothing, func() {
		two := own(unix.CLONE_NEWUSER)
		two.UIDs = []IDMap{{0, nobody, 1}, {1, 1, 1}}
		refused(t, two, "write \"0 65534 1\\n1 1 1\\n\" to /proc/$pid/uid_map", unix.EPERM)
		groups := own(unix.CLONE_NEWUSER)
		groups.Mapping = Privileged // which leaves setgroups(2) allowed
		refused(t, groups, "write \"0 65534 1\\n\" to /proc/$pid/gid_map", unix.EPERM)
		refused(t, Config{New: unix.CLONE_NEWNET}, "clone a process into new namespaces: network", unix.EPERM)
		refused(t, Config{Joins: []Join{{Network, "/proc/self/ns/net"}}}, "join the net namespace", unix.EPERM)
		refused(t, Config{New: unix.CLONE_NEWTIME}, "unshare: time", unix.EPERM)
	})
}

func TestHelpers(t *testing.T) {
	asNobody(t, subordinate(t, "nobody:200000:65536\n"), func() {
		ids := []IDMap{{0, nobody, 1}, {1, 200000, 65535}}
		c := Config{New: unix.CLONE_NEWUSER | unix.CLONE_NEWPID, UIDs: ids, GIDs: ids, Mapping: Helpers}
		got := output(t, c, "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map")
		if diff := cmp.Diff("0 0 0 65534 1 1 200000 65535 0 65534 1 1 200000 65535", strings.Join(strings.Fields(got), " ")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// TestHelpersWithClocks becomes a user who doesn't own /proc/self any more: the clocks are set before.
func TestHelpersWithClocks(t *testing.T) {
	asNobody(t, subordinate(t, "nobody:200000:65536\n"), func() {
		ids := []IDMap{{0, 200000, 65536}}
		c := Config{New: unix.CLONE_NEWUSER | unix.CLONE_NEWTIME, UIDs: ids, GIDs: ids, Mapping: Helpers}
		c.Offsets = map[string]Offset{"boottime": {Seconds: 86400 * 1000}}
		got := output(t, c, "id -u; cut -c1-2 /proc/uptime")
		if diff := cmp.Diff("0 86", strings.Join(strings.Fields(got), " ")); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestHelpersWithoutSubordinateIDs(t *testing.T) {
	asNobody(t, subordinate(t, "root:200000:65536\n"), func() {
		ids := []IDMap{{0, nobody, 1}, {1, 200000, 10}}
		c := Config{New: unix.CLONE_NEWUSER, UIDs: ids, GIDs: ids, Mapping: Helpers}
		_, err := start(t, c, "exit 0")
		if err == nil || !strings.Contains(err.Error(), "newuidmap 0 65534 1 1 200000 10: ") || !strings.Contains(err.Error(), "/etc/subuid") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestLoopback(t *testing.T) {
	witness.Need(t, "command:ip")
	witness.SharedRoot(t, func() {
		for up, want := range map[bool]string{true: "LOOPBACK,UP,LOWER_UP", false: "LOOPBACK"} {
			got := output(t, Config{New: unix.CLONE_NEWNET, Loopback: up}, "ip -o link show lo")
			if !strings.Contains(got, "<"+want+">") {
				t.Errorf("loopback %v: %s, want %s", up, got, want)
			}
		}
		refused(t, Config{New: unix.CLONE_NEWUTS, Hostname: strings.Repeat("x", 65)}, "set the host name", unix.EINVAL)
	})
}

// TestClocks reads the clocks in a time namespace.
func TestClocks(t *testing.T) {
	witness.SharedRoot(t, func() {
		c := Config{New: unix.CLONE_NEWTIME, Offsets: map[string]Offset{"monotonic": {Seconds: 1000, Nanoseconds: 5}, "boottime": {Seconds: 2000}}}
		r := hold(t, c)
		text, err := os.ReadFile(r.offsets())
		must(t, err)
		if got := strings.Join(strings.Fields(string(text)), " "); got != "monotonic 1000 5 boottime 2000 0" {
			t.Errorf("the offsets are %q", got)
		}
		c.Offsets = map[string]Offset{"realtime": {Seconds: 1}}
		refused(t, c, `write "realtime 1 0\n" to /proc/self/timens_offsets`, unix.EINVAL)
		c.Offsets = map[string]Offset{"boottime": {Seconds: -1 << 40}}
		refused(t, c, `write "boottime -1099511627776 0\n"`, unix.ERANGE)
	})
}
