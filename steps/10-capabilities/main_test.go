// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// same is a command as it is: run by whoever runs the tests.
func same(cmd *exec.Cmd) *exec.Cmd { return cmd }

// The sets as /proc/PID/status writes them; the bits are the numbers of linux/capability.h.
const (
	none     = "0000000000000000"
	fourteen = "00000000a80425fb" // what Docker gives
	chown    = "0000000000000001"
)

// TestSets looks at the capabilities of the command from outside.
func TestSets(t *testing.T) {
	for name, c := range map[string]struct {
		args                     []string
		bounding, effective, nnp string
		onlyRoot                 bool
	}{
		"default":        {nil, fourteen, fourteen, "1", false},
		"one":            {[]string{"-drop", "ALL", "-add", "CHOWN"}, chown, chown, "1", false},
		"none":           {[]string{"-drop", "ALL"}, none, none, "1", false},
		"new privileges": {[]string{"-new-privileges"}, fourteen, fourteen, "0", false},
		"another user":   {[]string{"-user", "1000"}, fourteen, none, "1", true},
	} {
		t.Run(name, func(t *testing.T) {
			for need, as := range map[string]func(*exec.Cmd) *exec.Cmd{"root": same, "userns": nobody} {
				if c.onlyRoot && need != "root" {
					continue // an ordinary user has mapped no other user
				}
				t.Run(need, func(t *testing.T) {
					witness.Need(t, need, "command:busybox")
					r := begin(t, as(exec.Command(step, append(c.args, "cat")...)), "cat", false)
					for field, want := range map[string]string{"CapBnd": c.bounding, "CapEff": c.effective, "CapPrm": c.effective, "CapInh": none, "CapAmb": none, "NoNewPrivs": c.nnp} {
						if got := r.status(t, field); got != want {
							t.Errorf("%s is %s, want %s", field, got, want)
						}
					}
					if code := r.end(); code != 0 {
						t.Errorf("exit code %d", code)
					}
				})
			}
		})
	}
}

// TestRefused tries what wants a capability that is gone, and again with that capability.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		add, try string
	}{
		"mount":   {"SYS_ADMIN", "mount -t tmpfs tmpfs /tmp"},
		"network": {"NET_ADMIN", "ip link set lo up"},
	} {
		t.Run(name, func(t *testing.T) {
			witness.Need(t, "userns", "command:busybox")
			if _, code := finish(t, nobody(exec.Command(step, "/bin/busybox", "sh", "-c", "busybox "+c.try))); code == 0 {
				t.Errorf("%s: succeeded without %s", c.try, c.add)
			}
			if _, code := finish(t, nobody(exec.Command(step, "-add", c.add, "/bin/busybox", "sh", "-c", "busybox "+c.try))); code != 0 {
				t.Errorf("%s: exit code %d with %s", c.try, code, c.add)
			}
		})
	}
}

// TestSetUserID runs a program that is set-user-ID root as user 1000.
func TestSetUserID(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	root, remove, err := rootFolder("")
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	var stat unix.Statfs_t
	if err := unix.Statfs(root, &stat); err != nil || stat.Flags&unix.ST_NOSUID != 0 {
		t.Skipf("needs a temporary folder without nosuid (%v)", err)
	}
	program := filepath.Join(root, "bin/whoami")
	if output, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./testdata/whoami").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if err := os.Chmod(program, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{"1000": nil, "0": {"-new-privileges"}} {
		cmd := exec.Command(step, append(args, "-root", root, "-user", "1000", "/bin/whoami")...)
		if output, code := finish(t, cmd); code != 0 || output != want {
			t.Errorf("%v: exit code %d, user %q, want %s", args, code, output, want)
		}
	}
}

// TestNothingIsInherited starts the step with groups and inheritable capabilities that the command must not have.
func TestNothingIsInherited(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:setpriv")
	r := begin(t, exec.Command("setpriv", "--groups", "4,27", "--inh-caps", "+chown", step, "cat"), "cat", false)
	if groups := r.status(t, "Groups"); groups != "" {
		t.Errorf("the command is in the groups %s", groups)
	}
	if set := r.status(t, "CapInh"); set != none {
		t.Errorf("CapInh is %s", set)
	}
	r.end()
}

func TestMistakes(t *testing.T) {
	if _, code := finish(t, exec.Command(step, "-add", "NO_SUCH", "true")); code != 1 {
		t.Errorf("unknown capability: exit code %d, want 1", code)
	}
	witness.Need(t, "userns", "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}

// TestNotHeld asks for a capability that the step itself does not have: that is said, and nothing runs.
func TestNotHeld(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:setpriv")
	c := exec.Command("setpriv", "--bounding-set=-sys_time", step, "-add", "SYS_TIME", "/bin/busybox", "true")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "CAP_SYS_TIME") {
		t.Errorf("%v: %s", err, out)
	}
}
