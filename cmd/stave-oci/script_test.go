// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/rogpeppe/go-internal/testscript"

	"stave/internal/witness"
)

// TestScripts plays the command line.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(staveOCI)+string(filepath.ListSeparator)+e.Getenv("PATH"))
			return fillIn(filepath.Join(e.WorkDir, "version"))
		},
	})
}

// fillIn replaces GOVERSION in a file of a play, where the play has it.
func fillIn(name string) error {
	data, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(strings.ReplaceAll(string(data), "GOVERSION", runtime.Version())), 0o644)
}

// readSpec reads a bundle's configuration.
func readSpec(t *testing.T, dir string) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

// TestSpecIsRuncs compares the configurations of stave-oci spec and runc spec, for root and for an ordinary user. They
// differ in this:
//   - the version of the specification, and the host name, which is the program's;
//   - runc before 1.2 gives ambient capabilities, which later ones don't;
//   - runc has a cgroup namespace only where all is cgroup v2, stave-oci always;
//   - for an ordinary user, runc mounts cgroups over the ones that the bind of /sys has brought already.
func TestSpecIsRuncs(t *testing.T) {
	witness.Need(t, "command:runc")
	for name, options := range map[string][]string{"root": nil, "rootless": {"--rootless"}} {
		t.Run(name, func(t *testing.T) {
			var both [2]*specs.Spec
			for i, program := range []string{"runc", staveOCI} {
				dir := folder(t)
				c := exec.Command(program, append([]string{"spec", "--bundle", dir}, options...)...)
				if os.Geteuid() == 0 && options != nil {
					give(t, dir, 65534)
					c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				if got := run(t, c); got.code != 0 {
					t.Fatal(got.err)
				}
				both[i] = readSpec(t, dir)
			}
			theirs, ours := both[0], both[1]
			if ours.Hostname != "stave" || ours.Version != specs.Version {
				t.Errorf("host name %q, version %q", ours.Hostname, ours.Version)
			}
			ours.Hostname, ours.Version = theirs.Hostname, theirs.Version
			for _, s := range both {
				s.Process.Capabilities.Ambient = nil
				without(specs.CgroupNamespace)(s)
				if options != nil {
					s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/sys/fs/cgroup" })
				}
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("-runc +stave-oci:\n%s", diff)
			}
		})
	}
}

// TestSpecRuns runs what stave-oci spec wrote, on a terminal, with stave-oci and with runc.
func TestSpecRuns(t *testing.T) {
	witness.Need(t, "root", "command:runc", "command:busybox")
	dir, state := folder(t), folder(t)
	makeRoot(t, filepath.Join(dir, "rootfs"))
	if got := run(t, exec.Command(staveOCI, "spec", "--bundle", dir)); got.code != 0 {
		t.Fatal(got.err)
	}
	edit(`"sh"`, `"sh", "-c", "hostname; tty; exit 5"`)(t, dir)
	name := filepath.Base(dir)
	for _, c := range []*exec.Cmd{
		exec.Command(staveOCI, "--root", root, "run", "--bundle", dir, name),
		exec.Command("runc", "--root", state, "run", "--bundle", dir, name),
	} {
		got := runOnTerminal(t, c, 24, 80)
		if lines := strings.Fields(got.out); got.code != 5 || !cmp.Equal(lines, []string{"stave", "/dev/pts/0"}) {
			t.Errorf("%s: exit code %d, output %q", c, got.code, got.out)
		}
	}
}

// TestFeaturesAreTrue compares what stave-oci says of this machine with what the kernel says.
func TestFeaturesAreTrue(t *testing.T) {
	got := run(t, exec.Command(staveOCI, "features"))
	var f features.Features
	if err := json.Unmarshal([]byte(got.out), &f); err != nil {
		t.Fatal(err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(last))); err != nil || len(f.Linux.Capabilities) != n+1 {
		t.Errorf("%d capabilities, the last of the kernel is %s", len(f.Linux.Capabilities), last)
	}
	_, err = os.Stat("/sys/kernel/security/apparmor")
	if on := err == nil; *f.Linux.Apparmor.Enabled != on {
		t.Errorf("AppArmor is said to be %v, and is %v", *f.Linux.Apparmor.Enabled, on)
	}
	if want := "prestart createRuntime createContainer startContainer poststart poststop"; strings.Join(f.Hooks, " ") != want {
		t.Errorf("hooks %v, want %s", f.Hooks, want)
	}
	// runc's list of mount options is the one that engines know. acl and noacl go to the file system as they are.
	witness.Need(t, "command:runc")
	theirs := run(t, exec.Command("runc", "features"))
	var r features.Features
	if err := json.Unmarshal([]byte(theirs.out), &r); err != nil {
		t.Skipf("runc has no features: %s", theirs.err)
	}
	for _, option := range r.MountOptions {
		if !slices.Contains(f.MountOptions, option) && !strings.HasSuffix(option, "acl") {
			t.Errorf("the mount option %s of runc is missing", option)
		}
	}
	for _, kind := range r.Linux.Namespaces {
		if !slices.Contains(f.Linux.Namespaces, kind) {
			t.Errorf("the namespace %s of runc is missing", kind)
		}
	}
}
