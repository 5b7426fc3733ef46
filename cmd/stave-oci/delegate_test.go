// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/container"
	"stave/internal/witness"
)

// TestLimitsOfAnOrdinaryUser asks for a limit as a user to whom no cgroup is delegated: that is said. Without limits
// his container runs, see TestSameAsRuncRootless.
func TestLimitsOfAnOrdinaryUser(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox")
	const uid = 65534
	for name, changes := range map[string][]change{
		"limit": {func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64(10))}}
		}},
		"no limit": nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "echo runs", append([]change{rootless(uid)}, changes...)...)
			give(t, dir, uid)
			got := run(t, asUser(oci(dir), uid))
			if changes != nil {
				checkRefusal(t, got, 1, []string{"linux.resources", "user 65534", "delegated", "run as root"})
			} else if got.code != 0 || got.out != "runs\n" {
				t.Errorf("exit code %d, %q, %s", got.code, got.out, got.err)
			}
		})
	}
}

// TestLimitsInADelegatedGroup lets an ordinary user limit a container in a subtree of version 2 that is his.
func TestLimitsInADelegatedGroup(t *testing.T) {
	witness.Need(t, "root", "userns", "command:busybox", "cgroup2:memory", "cgroup2:pids", "cgroup2:cpu")
	const uid = 65534
	_, mount := hierarchyOf(t, "memory")
	top := filepath.Join(mount, fmt.Sprintf("stave-test-delegated-%d", os.Getpid()))
	session := filepath.Join(top, "session")
	put(t, filepath.Join(mount, "cgroup.subtree_control"), "+memory +pids +cpu", 0o644)
	for _, dir := range []string{top, session} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer func() { witness.Until(t, dir+" is removed", func() bool { return unix.Rmdir(dir) == nil }) }()
		for _, name := range []string{"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"} {
			if err := os.Chown(dir+name, uid, uid); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, want := limitFiles(t)
	dir := newBundle(t, "", rootless(uid), func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{}
		limited(s)
		for i := range files { // the bind of /sys shows the host's tree
			files[i] = strings.Replace(files[i], "/sys/fs/cgroup", "/sys/fs/cgroup/"+filepath.Base(top)+"/stave-test-mine", 1)
		}
		s.Linux.CgroupsPath = "stave-test-mine"
		s.Process.Args = append([]string{"cat"}, files...)
	})
	give(t, dir, uid)
	folder, err := os.Open(session)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	c := asUser(oci(dir), uid)
	c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(folder.Fd())
	if got := run(t, c); got.code != 0 || got.out != want {
		t.Errorf("exit code %d, limits %q, want %q; %s", got.code, got.out, want, got.err)
	}
	if left := groupsNamed(t, "stave-test-mine"); len(left) > 0 {
		t.Errorf("cgroups that nobody removed: %q", left)
	}
}

// rootless makes a configuration one for an ordinary user.
func rootless(uid int) change { return func(s *specs.Spec) { container.Rootless(s, uid, uid) } }

// asUser makes a command run as an ordinary user.
func asUser(c *exec.Cmd, uid uint32) *exec.Cmd {
	c.Dir, c.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return c
}
