// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
	"stave/internal/witness"
)

// mapped adds a user namespace whose root is user 100000 of the host.
func mapped(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
}

// mounted makes the root read-only, with a tmpfs and binds of a folder and a file.
func mounted(s *specs.Spec) {
	s.Root.Readonly = true
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=1777", "size=1m"}},
		specs.Mount{Destination: "/data", Type: "bind", Source: "bound", Options: []string{"rbind", "ro"}},
		specs.Mount{Destination: "/home", Type: "bind", Source: "bound", Options: []string{"rbind", "rw", "nodev"}},
		specs.Mount{Destination: "/etc/group", Type: "bind", Source: "bound/file", Options: []string{"bind", "ro"}})
}

// limited limits nearly all that both versions of cgroups can.
func limited(s *specs.Spec) {
	s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20)), Swap: new(int64(96 << 20))}
	s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: new(uint64(512)), Quota: new(int64(180_000)), Period: new(uint64(200_000)), Cpus: "0", Mems: "0"}
	s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(77))}
	s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
		Allow: true, Type: "c", Major: new(int64(10)), Minor: new(int64(229)), Access: "rw",
	})
}

// another gives the command another user, groups, umask, folder, environment, limits and five sets of
// capabilities, and lets it gain privileges.
func another(s *specs.Spec) {
	few := []string{"CAP_CHOWN", "CAP_KILL"}
	s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 44}, Umask: new(uint32(0o027))}
	s.Process.Cwd = "/home"
	s.Process.Env = append(s.Process.Env, "A=b c", "QUOTES=it's $HOME \"x\" `x`", "EMPTY=")
	s.Process.NoNewPrivileges = false
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 64, Hard: 128}, {Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NPROC", Soft: 200, Hard: 300}}
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: append(few, "CAP_SETUID"), Effective: few, Permitted: few, Inheritable: few, Ambient: few[:1]}
	s.Process.OOMScoreAdj = new(321)
}

// TestScriptMakesTheSame runs bundles with stave run and with the script of stave explain --shell, as
// root, and compares what the containers' first processes see.
func TestScriptMakesTheSame(t *testing.T) {
	witness.Need(t, "root", "command:bash", "command:unshare", "command:ip")
	for name, changes := range map[string][]func(*specs.Spec){
		"default":                    nil,
		"resources":                  {limited},
		"resources, user namespace":  {limited, mapped},
		"writable":                   {func(s *specs.Spec) { s.Root.Readonly = false }},
		"mounts":                     {mounted},
		"another user":               {another},
		"user namespace":             {mapped},
		"user namespace, mounts":     {mapped, mounted},
		"user namespace, other user": {mapped, another},
		"few namespaces": {func(s *specs.Spec) {
			s.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}
			s.Hostname = ""
		}},
	} {
		if testing.Short() && !slices.Contains([]string{"mounts", "resources", "user namespace"}, name) {
			continue // each takes a shell and an emulated processor half a minute
		}
		t.Run(name, func(t *testing.T) { sameByScript(t, newBundle(t, lookAround, changes...), 0) })
	}
}

// TestScriptMakesTheSameRootless is the same for an ordinary user, who has one id.
func TestScriptMakesTheSameRootless(t *testing.T) {
	witness.Need(t, "root", "userns", "command:bash", "command:unshare")
	rootless := func(s *specs.Spec) { container.Rootless(s, nobody, nobody) }
	for name, changes := range map[string][]func(*specs.Spec){
		"default": {rootless},
		"mounts":  {rootless, mounted},
	} {
		t.Run(name, func(t *testing.T) { sameByScript(t, newBundle(t, lookAround, changes...), nobody) })
	}
}

// sameByScript compares what stave run and the script make of a bundle.
func sameByScript(t *testing.T, bundle string, user uint32) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(bundle, "bound"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(bundle, "bound/file"), "inside\n", 0o644)
	if user != 0 {
		give(t, bundle, int(user))
	}
	before := witness.Mounts(t, 0)
	real := run(t, as(user, staveRun("--bundle", bundle)))
	script := run(t, as(user, exec.Command(stave, "explain", "--shell", "--bundle", bundle)))
	if script.code != 0 {
		t.Fatalf("explain --shell: %s", script.err)
	}
	byScript := run(t, runScript(t, script.out, user))
	if byScript.code != 7 || real.code != 7 {
		t.Errorf("exit codes: stave %d (%s), the script %d (%s); want 7", real.code, real.err, byScript.code, byScript.err)
	}
	if d := cmp.Diff(real.err, byScript.err); d != "" {
		t.Errorf("what stave run (-) and the script (+) write to standard error:\n%s", d)
	}
	if d := cmp.Diff(sections(t, real.out), sections(t, byScript.out)); d != "" {
		t.Errorf("stave run (-) and the script (+) make different containers:\n%s", d)
	}
	if left := groupsLeft(t, "/stave-test-"+filepath.Base(bundle)); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
	if d := cmp.Diff(before, witness.Mounts(t, 0)); d != "" {
		t.Errorf("mounts of the host before (-) and after (+):\n%s", d)
	}
}

// runScript is bash with a script, which finds programs in the folders of Debian alone.
func runScript(t *testing.T, script string, user uint32) *exec.Cmd {
	t.Helper()
	file := filepath.Join(folder(t), "script")
	put(t, file, script, 0o644)
	c := as(user, exec.Command("bash", file))
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + os.TempDir()}
	return c
}

// TestScriptOfTheLab runs the script for the built-in image, which makes a root file system of its own
// and removes it.
func TestScriptOfTheLab(t *testing.T) {
	witness.Need(t, "root", "command:bash", "command:unshare", "command:ip")
	for name, options := range map[string][]string{"root": nil, "user namespace": {"--user-ns"}} {
		t.Run(name, func(t *testing.T) {
			args := append(append([]string{"explain", "--shell", "--hostname", "byhand"}, options...), "lab", "sh", "-c", "hostname; cat; touch /made; id -u; exit 5")
			script := run(t, exec.Command(stave, args...))
			c := runScript(t, script.out, 0)
			c.Stdin = strings.NewReader("typed\n")
			got := run(t, c)
			if got.out != "byhand\ntyped\n0\n" || got.err != "" || got.code != 5 {
				t.Errorf("the script wrote %q, said %q and ended with %d; want the host name, what was typed, 0, and 5", got.out, got.err, got.code)
			}
		})
	}
}

// TestScriptPassesExitCodesOn runs commands that end in several ways, and one that is not there.
func TestScriptPassesExitCodesOn(t *testing.T) {
	witness.Need(t, "root", "command:bash", "command:unshare", "command:ip")
	for name, changes := range map[string][]func(*specs.Spec){"root": nil, "user namespace": {mapped}} {
		for command, want := range map[string]int{"true": 0, "exit 3": 3, "exec kill -9 $$": 0, "exec /missing": 127} {
			t.Run(name+", "+command, func(t *testing.T) {
				bundle := newBundle(t, command, changes...)
				script := run(t, exec.Command(stave, "explain", "--shell", "--bundle", bundle))
				if got := run(t, runScript(t, script.out, 0)); got.code != want {
					t.Errorf("exit code %d, want %d; it said %s", got.code, want, got.err)
				}
			})
		}
	}
}
