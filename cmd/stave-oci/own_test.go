// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestOwn runs what runc 1.1 can't do, or does otherwise, and looks at it from inside.
func TestOwn(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]struct {
		script, want string
		change       change
	}{
		"time offsets": {"cat /proc/self/timens_offsets", "monotonic 3 5\nboottime 1000 0\n", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1000}, "monotonic": {Secs: 3, Nanosecs: 5}}
		}},
		"mode of a tmpfs":          {"stat -c %a /tmp; : >/tmp/x && echo written", "1770\nwritten\n", addMount("/tmp", "tmpfs", "tmpfs", "mode=1770")},
		"tmpfs, read-only":         {"(: >/data/x) 2>/dev/null || echo refused", "refused\n", addMount("/data", "tmpfs", "tmpfs", "ro")},
		"domain name":              {"cat /proc/sys/kernel/domainname", "example.org\n", func(s *specs.Spec) { s.Domainname = "example.org" }},
		"another machine's name":   {"uname -m", "i686\n", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"} }},
		"cgroup folder, read-only": {"(: >/sys/fs/cgroup/x) 2>/dev/null || echo refused", "refused\n", dockerLike(t)},
		"recursive read-only": {"(: >/data/inside) 2>/dev/null || echo refused", "refused\n", func(s *specs.Spec) {
			addMount("/data", "bind", "rootfs/home", "rbind", "rro")(s)
		}},
		"keyring": {"grep -c keyring.*_ses.$ID: /proc/keys", "1\n", func(s *specs.Spec) { s.Linux.MaskedPaths = nil }},
		"arguments": {"", "a b|c'd|\"|é|\n", func(s *specs.Spec) {
			s.Process.Args = []string{"sh", "-c", `for x; do echo -n "$x|"; done; echo`, "name", "a b", "c'd", `"`, "é"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, test.script, test.change)
			if err := os.Symlink("busybox", filepath.Join(dir, "rootfs/bin/uname")); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(test.script, "$ID") {
				edit("$ID", filepath.Base(dir))(t, dir)
			}
			got := run(t, oci(dir))
			out := regexp.MustCompile(` +`).ReplaceAllString(got.out, " ") // the kernel fills columns
			if diff := cmp.Diff(test.want, out); diff != "" || got.code != 0 {
				t.Errorf("exit code %d, -want +got:\n%s%s", got.code, diff, got.err)
			}
		})
	}
}

// TestConsoleSize gives the container's terminal the size that the configuration has; without one, the
// caller's.
func TestConsoleSize(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for want, size := range map[string]*specs.Box{"11 22": {Height: 11, Width: 22}, "33 99": nil} {
		dir := newBundle(t, "stty size", func(s *specs.Spec) { s.Process.Terminal, s.Process.ConsoleSize = true, size })
		if got := runOnTerminal(t, oci(dir), 33, 99); strings.TrimSpace(got.out) != want {
			t.Errorf("size %q, want %q (exit code %d)", got.out, want, got.code)
		}
	}
}

// TestJoin runs a container in the namespaces of another.
func TestJoin(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	file := filepath.Join(folder(t), "pid")
	host := startReady(t, newBundle(t, "echo ready; read x"), "--pid-file", file)
	var text []byte
	witness.Until(t, "there is a pid file", func() bool {
		text, _ = os.ReadFile(file)
		return len(text) > 0
	})
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[specs.LinuxNamespaceType]string{
		specs.PIDNamespace: "pid", specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts", specs.CgroupNamespace: "cgroup",
	}
	script := "readlink /proc/self/ns/mnt; for k in pid net ipc uts cgroup; do readlink /proc/self/ns/$k; done; cat /proc/1/comm"
	dir := newBundle(t, script, func(s *specs.Spec) {
		s.Hostname = ""
		for i, n := range s.Linux.Namespaces {
			if kind := kinds[n.Type]; kind != "" {
				s.Linux.Namespaces[i].Path = filepath.Join("/proc", string(text), "ns", kind)
			}
		}
	})
	got := run(t, oci(dir))
	lines := strings.Split(got.out, "\n")
	if got.code != 0 || len(lines) != 8 {
		t.Fatalf("exit code %d, output %q: %s", got.code, got.out, got.err)
	}
	for i, kind := range []string{"pid", "net", "ipc", "uts", "cgroup"} {
		if want := namespaceLink(kind, witness.Namespace(t, pid, kind)); lines[i+1] != want {
			t.Errorf("namespace %s, want %s", lines[i+1], want)
		}
	}
	if lines[0] == namespaceLink("mnt", witness.Namespace(t, pid, "mnt")) {
		t.Error("the mount namespace is shared, too")
	}
	if lines[6] != "sh" {
		t.Errorf("process 1 is %q, and should be the other container's", lines[6])
	}
	unix.Kill(pid, unix.SIGKILL)
	host.wait(t)
}

// namespaceLink is the target of a link below /proc/pid/ns.
func namespaceLink(kind string, inode uint64) string {
	return kind + ":[" + strconv.FormatUint(inode, 10) + "]"
}
