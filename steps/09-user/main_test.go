// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// same is a command as it is: run by whoever runs the tests.
func same(cmd *exec.Cmd) *exec.Cmd { return cmd }

// words joins the words of a text with single blanks.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }

// TestMaps looks at the maps, the users and the capabilities of the command from outside.
func TestMaps(t *testing.T) {
	me := "65534"
	if os.Geteuid() != 0 {
		me = strconv.Itoa(os.Geteuid())
	}
	for name, c := range map[string]struct {
		need              string
		as                func(*exec.Cmd) *exec.Cmd
		args              []string
		users, who, group string
	}{
		"root":          {"root", same, nil, "0 100000 65536", "100000 100000 100000 100000", "allow"},
		"root, chosen":  {"root", same, []string{"-outside", "70000", "-size", "10"}, "0 70000 10", "70000 70000 70000 70000", "allow"},
		"ordinary user": {"userns", nobody, nil, "0 " + me + " 1", strings.Join([]string{me, me, me, me}, " "), "deny"},
	} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, c.need, "command:busybox")
			r := begin(t, c.as(exec.Command(step, append(c.args, "cat")...)), "cat", false)
			if got := words(r.read(t, "uid_map")); got != c.users {
				t.Errorf("uid_map is %q, want %q", got, c.users)
			}
			if got := words(r.read(t, "gid_map")); got != c.users && os.Geteuid() == 0 { // else the group may have another number
				t.Errorf("gid_map is %q, want %q", got, c.users)
			}
			if got := words(r.read(t, "setgroups")); got != c.group {
				t.Errorf("setgroups is %q, want %q", got, c.group)
			}
			if got := r.status(t, "Uid"); got != c.who {
				t.Errorf("users %q, want %q", got, c.who)
			}
			if got := r.status(t, "CapEff"); got != r.status(t, "CapBnd") {
				t.Errorf("effective capabilities %s, want %s", got, r.status(t, "CapBnd"))
			}
			for _, kind := range []string{"user", "mnt", "pid", "uts", "ipc", "net"} {
				if witness.Namespace(t, r.pid, kind) == witness.Namespace(t, 0, kind) {
					t.Errorf("the command is in the %s namespace of the test", kind)
				}
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestHelpers gives user 65534 a range in /etc/subuid and /etc/subgid, in a mount namespace that is thrown away.
func TestHelpers(t *testing.T) {
	witness.Need(t, "root", "userns", "command:newuidmap", "command:busybox")
	ranges := filepath.Join(t.TempDir(), "ranges")
	if err := os.WriteFile(ranges, []byte("65534:300000:1000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	witness.SharedRoot(t, func() {
		for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
			if err := unix.Mount(ranges, file, "", unix.MS_BIND, ""); err != nil {
				t.Skipf("needs %s: %v", file, err)
			}
		}
		r := begin(t, nobody(exec.Command(step, "-outside", "300000", "-size", "1000", "cat")), "cat", false)
		if got := words(r.read(t, "uid_map")); got != "0 300000 1000" {
			t.Errorf("uid_map is %q", got)
		}
		if got := words(r.read(t, "setgroups")); got != "allow" {
			t.Errorf("setgroups is %q", got)
		}
		r.end()
		if _, code := finish(t, nobody(exec.Command(step, "-outside", "300000", "-size", "1001", "true"))); code != 1 {
			t.Errorf("more than the range: exit code %d, want 1", code)
		}
	})
}

// TestRootInThereIsNobody lets root of the namespace read a file in its own root folder that belongs to the machine's root.
func TestRootInThereIsNobody(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o600} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if output, code := finish(t, exec.Command(step, "-root", root, "cat", "/open")); code != 0 || output != "open" {
		t.Errorf("open: exit code %d, output %q", code, output)
	}
	if output, code := finish(t, exec.Command(step, "-root", root, "cat", "/closed")); code == 0 || output != "" {
		t.Errorf("closed: exit code %d, output %q", code, output)
	}
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
