// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// uptime reads the first number of a text in the form of /proc/uptime.
func uptime(t *testing.T, text string) float64 {
	t.Helper()
	first, _, _ := strings.Cut(text, " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// hostName is that of the test's own UTS namespace.
func hostName(t *testing.T) string {
	t.Helper()
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		t.Fatal(err)
	}
	return unix.ByteSliceToString(names.Nodename[:])
}

// TestNames compares the namespaces, and what is in them, from both sides.
func TestNames(t *testing.T) {
	for need, as := range map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody} {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox")
			name := hostName(t)
			script := "touch /dev/mqueue/mine; hostname; cat /proc/uptime; exec cat"
			r := begin(t, as(exec.Command(step, "-hostname", "inner", "-up", "1000h", "sh", "-c", script)), "cat", false)
			for _, kind := range []string{"mnt", "uts", "ipc", "time"} {
				if witness.Namespace(t, r.pid, kind) == witness.Namespace(t, 0, kind) {
					t.Errorf("the command is in the %s namespace of the test", kind)
				}
			}
			offsets, err := os.ReadFile(fmt.Sprintf("/proc/%d/timens_offsets", r.pid))
			if want := "monotonic 3600000 0 boottime 3600000 0"; err != nil || strings.Join(strings.Fields(string(offsets)), " ") != want {
				t.Errorf("clock offsets %q (%v), want %s", offsets, err, want)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/dev/mqueue/mine", r.pid)); err != nil {
				t.Error(err)
			}
			if code := r.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			checkOutput(t, r.out.String())
			if after := hostName(t); after != name {
				t.Errorf("the host is called %q now, and was %q", after, name)
			}
		})
	}
}

// checkOutput holds the command's host name and uptime against those of the test.
func checkOutput(t *testing.T, output string) {
	t.Helper()
	name, up, _ := strings.Cut(output, "\n")
	if name != "inner" {
		t.Errorf("the command's host name is %q", name)
	}
	ours, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	if more := uptime(t, up) - uptime(t, string(ours)); more < 3_599_900 || more > 3_600_100 {
		t.Errorf("the command's machine is up for %.0f seconds more than ours", more)
	}
}

// TestQueuesAreApart mounts the message queues of the test's own IPC namespace after the command has made one.
func TestQueuesAreApart(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	queue := rand.Text()
	r := begin(t, exec.Command(step, "sh", "-c", "touch /dev/mqueue/"+queue+"; exec cat"), "cat", false)
	folder := t.TempDir()
	witness.SharedRoot(t, func() {
		if err := unix.Mount("mqueue", folder, "mqueue", 0, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(folder, queue)); !os.IsNotExist(err) {
			t.Errorf("the queue is to be seen outside: %v", err)
		}
	})
	r.end()
}

func TestExitCode(t *testing.T) {
	witness.Need(t, "userns", "command:busybox")
	if _, code := finish(t, nobody(exec.Command(step, "sh", "-c", "exit 3"))); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}
