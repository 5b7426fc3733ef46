// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stave/internal/witness"
)

// debian is the root file system of a small Debian, made once by debootstrap and kept below build/. The
// tests have a network of their own, so debootstrap runs in the machine's, and
// in mount and PID namespaces that end with it. Where there is no mirror to be
// reached, the test is skipped.
func debian(t *testing.T) string {
	t.Helper()
	witness.Need(t, "root", "command:debootstrap", "command:nsenter")
	cache, err := filepath.Abs("../../build/debian")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cache); err == nil {
		return cache
	}
	made := cache + ".new"
	if err := os.RemoveAll(made); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(made), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "nsenter", "--net=/proc/"+starter(t)+"/ns/net",
		"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "debootstrap", "--variant=minbase", "stable", made)
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil {
		os.RemoveAll(made)
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Skipf("debootstrap makes no Debian here: %v: %s", err, lines[len(lines)-1])
	}
	if err := os.Rename(made, cache); err != nil {
		t.Fatal(err)
	}
	return cache
}

// starter is the number of the process that started the witness of these tests: it is in the machine's
// network namespace.
func starter(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", os.Getppid()))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\nPPid:\t")
	pid, _, _ := strings.Cut(after, "\n")
	return pid
}

// TestDebian lists the packages of a Debian, and logs in on a terminal.
func TestDebian(t *testing.T) {
	root := debian(t)
	got := run(t, staveRun("--rootfs", root, "apt", "list", "--installed"))
	if !strings.Contains(got.out, "\nbash/") || got.code != 0 {
		t.Errorf("apt shows no bash, exit code %d, %s:\n%s", got.code, got.err, got.out)
	}
	p := sitDown(t, staveRun("--rootfs", root, "--hostname", "trunk", "bash", "-l"))
	p.until("root@trunk:/#")
	p.types("tty; cat /etc/debian_version | wc -l; shopt login_shell\r")
	p.until("/dev/pts/0\r\n1\r\nlogin_shell")
	p.until("on")
	p.until("root@trunk:/#")
	p.types("exit 3\r")
	if got := p.leave(); got != 3 {
		t.Errorf("exit code %d, want 3", got)
	}
}
