// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestNodeInTheImage puts a device node into the image itself: no right to make one is needed then. The rules for
// devices of the container's cgroup keep it closed.
func TestNodeInTheImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, allow := range map[string]bool{"forbidden": false, "allowed": true} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "(: </node); head -c 1 /dev/zero | wc -c", func(s *specs.Spec) {
				s.Linux.Resources.Devices[0].Allow = allow
			})
			// /dev/fuse: whoever is root may open it, and where the kernel has none, that is another error.
			if err := unix.Mknod(filepath.Join(dir, "rootfs/node"), unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))); err != nil {
				t.Fatal(err)
			}
			got := run(t, oci(dir))
			if refused := strings.Contains(got.err, "Operation not permitted"); refused == allow || strings.TrimSpace(got.out) != "1" {
				t.Errorf("the image's node is refused: %v; /dev/zero gives %q; %s", refused, got.out, got.err)
			}
		})
	}
}

// TestHostNamespaceIsTheHosts joins the host's own namespace by its path: what would be set there is
// refused.
func TestHostNamespaceIsTheHosts(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]struct {
		kind   specs.LinuxNamespaceType
		file   string
		change change
	}{
		"sysctl": {specs.NetworkNamespace, "net", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"} }},
		"name":   {specs.UTSNamespace, "uts", func(s *specs.Spec) { s.Hostname = "taken" }},
	} {
		t.Run(name, func(t *testing.T) {
			before := hostView(t)
			dir := newBundle(t, "true", test.change, func(s *specs.Spec) {
				for i, n := range s.Linux.Namespaces {
					if n.Type == test.kind {
						s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", os.Getpid(), test.file)
					}
				}
			})
			got := run(t, oci(dir))
			if got.code != 1 || !strings.Contains(got.err, "the host") {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
			if after := hostView(t); after != before {
				t.Errorf("the host has %q, before %q", after, before)
			}
		})
	}
}

// hostView is what the container above would change.
func hostView(t *testing.T) string {
	t.Helper()
	ttl, err := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl")
	if err != nil {
		t.Fatal(err)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return string(ttl) + name
}

// TestPidFileComesFirst asks for a pid file where none can be made: the command must not have run.
func TestPidFileComesFirst(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, ": >/mark", func(s *specs.Spec) { s.Root.Readonly = false })
	got := run(t, oci(dir, "--pid-file", filepath.Join(dir, "missing", "pid")))
	if got.code != 1 || !strings.Contains(got.err, "no such file") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
	if _, err := os.Stat(filepath.Join(dir, "rootfs/mark")); !os.IsNotExist(err) {
		t.Errorf("the command ran: %v", err)
	}
}

// TestConsoleOfTheImage has a named pipe where the terminal's device belongs, and a root that is
// read-only and has no /dev of its own.
func TestConsoleOfTheImage(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	noDev := func(s *specs.Spec) {
		s.Process.Terminal = true
		var kept []specs.Mount
		for _, m := range s.Mounts {
			if m.Destination == "/dev/pts" || !strings.HasPrefix(m.Destination, "/dev") {
				kept = append(kept, m)
			}
		}
		s.Mounts = kept
	}
	for name, prepare := range map[string]func(dir string) error{
		"named pipe": func(dir string) error {
			return unix.Mkfifo(filepath.Join(dir, "rootfs/dev/console"), 0o600)
		},
		"missing": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "test -t 0 && test -c /dev/console && exit 7", noDev)
			if err := os.MkdirAll(filepath.Join(dir, "rootfs/dev/pts"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := prepare(dir); err != nil {
				t.Fatal(err)
			}
			if got := runOnTerminal(t, oci(dir), 24, 80); got.code != 7 {
				t.Errorf("exit code %d: %s%s", got.code, got.out, got.err)
			}
		})
	}
}

// TestFolderOfAnother starts in a folder that root may enter and the command's user may not, as runc does.
func TestFolderOfAnother(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "exit 7", func(s *specs.Spec) {
		s.Process.Cwd = "/secret"
		s.Process.User = specs.User{UID: 1000, GID: 1000}
	})
	if err := os.Mkdir(filepath.Join(dir, "rootfs/secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := run(t, oci(dir)); got.code != 7 {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

// TestFilterOfTheSetUpsOwnCalls forbids calls that the set-up makes last.
func TestFilterOfTheSetUpsOwnCalls(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "seccomp")
	for _, call := range []string{"close_range", "write", "getcwd"} {
		t.Run(call, func(t *testing.T) {
			dir := newBundle(t, "exit 7", func(s *specs.Spec) {
				s.Linux.Seccomp = &specs.LinuxSeccomp{
					DefaultAction: specs.ActAllow,
					Syscalls:      []specs.LinuxSyscall{{Names: []string{call}, Action: specs.ActErrno}},
				}
			})
			if got := run(t, oci(dir)); got.code != 7 {
				t.Errorf("exit code %d: %s", got.code, got.err)
			}
		})
	}
}
