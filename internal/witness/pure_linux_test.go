// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseMount reads lines of the kernel, and some that it never writes.
func TestParseMount(t *testing.T) {
	cases := map[string]struct {
		line string
		want Mount
		ok   bool
	}{
		"tags": {
			line: "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue\n",
			want: Mount{36, 35, "/mnt1", "/mnt2", "rw,noatime", []string{"shared:1", "master:2"}, "ext3", "/dev/root", "rw,errors=continue"},
			ok:   true,
		},
		"blank in a path, empty source": {
			line: "22 27 0:21 / /a\\040b\\134 rw - tmpfs  rw",
			want: Mount{22, 27, "/", `/a b\`, "rw", []string{}, "tmpfs", "", "rw"},
			ok:   true,
		},
		"cut off": {line: "22 27 0:21 / /proc rw"},
		"no id":   {line: "x 27 0:21 / /proc rw - proc proc rw", want: Mount{0, 27, "/", "/proc", "rw", []string{}, "proc", "proc", "rw"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parseMount(c.line)
			if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
				t.Errorf("ok %v, want %v; -want +got:\n%s", ok, c.ok, diff)
			}
		})
	}
}

// TestDescendants follows the tree and skips the dead.
func TestDescendants(t *testing.T) {
	var all []process
	for line := range strings.Lines("1 (init) S 0 0\n10 (a) b)) S 1 0\n11 (zombie) Z 10 0\n12 (deep) S 11 0\n20 (other) S 1 0\nbroken\n") {
		if p, ok := parseStat(line); ok {
			all = append(all, p)
		}
	}
	var names []string
	for _, p := range descendants(all, 10) {
		names = append(names, p.name)
	}
	if diff := cmp.Diff([]string{"deep"}, names); diff != "" || all[1].name != "a) b)" {
		t.Errorf("-want +got:\n%s%v", diff, all)
	}
}

// TestDifference counts: the same phrase twice is more than once.
func TestDifference(t *testing.T) {
	got := difference([]string{"mount /a", "link lo"}, []string{"mount /a", "mount /a", "link x"})
	if diff := cmp.Diff([]string{"link x", "mount /a"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestOfSystemd tells the groups of systemd from those of stave.
func TestOfSystemd(t *testing.T) {
	for path, want := range map[string]bool{
		"/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope": true,
		"/sys/fs/cgroup/stave-1.scope":                           false,
		"/sys/fs/cgroup/pids/mine":                               false,
	} {
		if got := ofSystemd(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestControllers finds the controllers of both versions.
func TestControllers(t *testing.T) {
	mounts := []Mount{
		{Type: "cgroup", Point: "/c/cpu", Super: "rw,cpu,cpuacct"},
		{Type: "cgroup2", Point: "/c/unified"},
		{Type: "cgroup2", Point: "/gone"},
	}
	read := func(path string) ([]byte, error) {
		if path == "/c/unified/cgroup.controllers" {
			return []byte("memory pids\n"), nil
		}
		return nil, errors.New("gone")
	}
	if diff := cmp.Diff([]string{"rw", "cpu", "cpuacct"}, controllers(mounts, "cgroup1", read)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"memory", "pids"}, controllers(mounts, "cgroup2", read)); diff != "" {
		t.Error(diff)
	}
}

// recorder is a testing.TB that keeps what Need decided.
type recorder struct {
	testing.TB
	skipped, failed string
}

// Skipf keeps the first reason to skip.
func (r *recorder) Skipf(format string, args ...any) { r.skipped += fmt.Sprintf(format, args...) }

// Fatalf keeps the first reason to fail.
func (r *recorder) Fatalf(format string, args ...any) { r.failed += fmt.Sprintf(format, args...) }

// Fatal keeps the first reason to fail.
func (r *recorder) Fatal(args ...any) { r.failed += fmt.Sprint(args...) }

// TestNeed looks at the three ways out: go on, skip with a reason, fail where it was promised.
func TestNeed(t *testing.T) {
	cases := map[string]struct {
		need, tier, promised string
		skipped, failed      string
	}{
		"there":            {need: "command:sh"},
		"missing":          {need: "command:no-such-program", skipped: "needs command:no-such-program: not in PATH"},
		"promised":         {need: "command:no-such-program", promised: "root command:no-such-program", failed: "needs command:no-such-program: not in PATH, and STAVE_PROMISED has it"},
		"unit tier":        {need: "root", tier: "unit", skipped: "needs root: run make root"},
		"unknown":          {need: "luck", failed: `unknown need "luck"`},
		"unknown call":     {need: "kernel:reboot", failed: `unknown need "kernel:reboot"`},
		"old call":         {need: "kernel:close_range"},
		"no such system":   {need: "filesystem:nosuchfs", skipped: "needs filesystem:nosuchfs: not in /proc/filesystems"},
		"no such cgroup":   {need: "cgroup2:nosuch", skipped: "needs cgroup2:nosuch: no mounted hierarchy has it"},
		"proc is a system": {need: "filesystem:proc"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tierVariable, c.tier)
			t.Setenv(promisedVariable, c.promised)
			r := &recorder{TB: t}
			Need(r, c.need)
			if r.skipped != c.skipped || r.failed != c.failed {
				t.Errorf("skipped %q, want %q; failed %q, want %q", r.skipped, c.skipped, r.failed, c.failed)
			}
		})
	}
}

// TestLackRoot decides by tier and user.
func TestLackRoot(t *testing.T) {
	for _, c := range []struct {
		tier string
		user int
		want string
	}{{"root", 0, ""}, {"", 0, ""}, {"unit", 0, "run make root"}, {"unit", 7, "run make root"}, {"", 7, "runs as user 7"}} {
		if got := lackRoot(c.tier, c.user); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestUserNamespaces agrees with the kernel's own switch: a limit of 0 means none.
func TestUserNamespaces(t *testing.T) {
	limit, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if why := lackUserNamespaces(); why == "" && (err != nil || strings.TrimSpace(string(limit)) == "0") {
		t.Errorf("found where the limit is %s (%v)", limit, err)
	}
}

// TestControllersAgree compares the needs with the kernel's files: where no hierarchy of v1 is mounted, the tree of v2 has
// the controllers that containers need, and v1 has none.
func TestControllersAgree(t *testing.T) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup") // "0::/…" is the line of v2, the others are of v1
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), " - cgroup ") || strings.Count(string(groups), "\n") != 1 {
		for _, name := range []string{"memory", "cpu"} {
			one, _ := lackController("cgroup1", name)
			two, _ := lackController("cgroup2", name)
			if one == "" && two == "" {
				t.Errorf("%s is said to be in both versions; the kernel gives it to one", name)
			}
		}
		return
	}
	for _, name := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if why, err := lackController("cgroup2", name); why != "" || err != nil {
			t.Errorf("cgroup2:%s: %s, %v", name, why, err)
		}
		if why, err := lackController("cgroup1", name); why == "" || err != nil {
			t.Errorf("cgroup1:%s is said to be there, %v", name, err)
		}
	}
}
