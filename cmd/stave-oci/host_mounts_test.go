// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestHostMounts runs containers without a mount namespace, and looks at the mounts of the caller's and of another namespace
// that shares them, before and after. In the root folder, and in what is bound of the host, something is mounted.
func TestHostMounts(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:unshare")
	for name, live := range map[string]func(t *testing.T, dir string){
		"run":                   hostRun,
		"command not there":     hostRunNothing,
		"created and deleted":   hostCreate,
		"killed and deleted":    hostKill,
		"creation killed":       hostInterrupt,
		"a second one, refused": hostSecond,
	} {
		for _, point := range []bool{false, true} {
			t.Run(name+", root a mount point: "+strconv.FormatBool(point), func(t *testing.T) {
				witness.SharedRoot(t, func() {
					dir := hostBundle(t, point)
					peer := mountPeer(t)
					own, theirs := mountinfo(t, "thread-self"), mountinfo(t, peer)
					live(t, dir)
					if diff := cmp.Diff(own, mountinfo(t, "thread-self")); diff != "" {
						t.Errorf("mounts of the caller (-before +after):\n%s", diff)
					}
					if diff := cmp.Diff(theirs, mountinfo(t, peer)); diff != "" {
						t.Errorf("mounts of the other namespace (-before +after):\n%s", diff)
					}
				})
			})
		}
	}
}

// hostBundle makes the bundle of such a container, in the mount namespace of SharedRoot: the root folder has a mount in it, and may
// be a mount point; what is bound of the host has one, too, and gets another from the configuration.
func hostBundle(t *testing.T, point bool) string {
	t.Helper()
	dir := newBundle(t, "")
	outside := folder(t)
	for _, d := range []string{outside + "/sub", outside + "/more", dir + "/rootfs/volume"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if point {
		hostMount(t, dir+"/rootfs", dir+"/rootfs", "", unix.MS_BIND)
	}
	hostMount(t, "tmpfs", dir+"/rootfs/home", "tmpfs", 0)
	hostMount(t, "tmpfs", outside+"/sub", "tmpfs", 0)
	put(t, outside+"/sub/file", "of the host\n", 0o644)
	put(t, dir+"/rootfs/home/file", "in the root\n", 0o644)
	const script = "readlink /proc/self/ns/mnt; cat /volume/sub/file /home/file; stat -f -c %T /volume/more; ls / | head -n 1; : > /dev/null; echo end"
	write(t, dir, read(t, dir), without(specs.MountNamespace), addMount("/volume", "bind", outside, "rbind"), addMount("/volume/more", "tmpfs", "tmpfs"), func(s *specs.Spec) {
		s.Process.Args = []string{"sh", "-c", script}
		s.Process.Env = append(s.Process.Env, "OUTSIDE="+outside)
	})
	return dir
}

// hostMount mounts for as long as the namespace lives.
func hostMount(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
}

// mountPeer starts a process in a mount namespace that shares the mounts of the caller's, and returns its number.
func mountPeer(t *testing.T) string {
	t.Helper()
	c := exec.Command("unshare", "--mount", "--propagation", "unchanged", "sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	witness.Until(t, "there is another mount namespace", func() bool { return program(c.Process.Pid) == "sleep" })
	return strconv.Itoa(c.Process.Pid)
}

// mountinfo is the list of the mounts of a process.
func mountinfo(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hostSaid is what the container's command writes.
func hostSaid(t *testing.T) string {
	t.Helper()
	return namespaceLink("mnt", witness.Namespace(t, 0, "mnt")) + "\nof the host\nin the root\ntmpfs\nbin\nend\n"
}

// hostRun runs the container.
func hostRun(t *testing.T, dir string) {
	t.Helper()
	got := run(t, oci(dir))
	if diff := cmp.Diff(hostSaid(t), got.out); diff != "" || got.code != 0 {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
}

// hostRunNothing fails at the very end of the set-up.
func hostRunNothing(t *testing.T, dir string) {
	t.Helper()
	write(t, dir, read(t, dir), func(s *specs.Spec) { s.Process.Args = []string{"/nothing"} })
	if got := run(t, oci(dir)); got.code != 127 {
		t.Errorf("%+v", got)
	}
}

// hostCreate leads a container to its end, with a process that joins it.
func hostCreate(t *testing.T, dir string) {
	t.Helper()
	k := create(t, dir)
	must(t, "start", k.id)
	k.until(t, "stopped")
	if diff := cmp.Diff(hostSaid(t), k.output(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	must(t, "delete", k.id)
}

// hostKill ends a container that runs by force. A process that joins it before has its root, with a terminal and without.
func hostKill(t *testing.T, dir string) {
	t.Helper()
	script := read(t, dir).Process.Args[2]
	write(t, dir, read(t, dir), func(s *specs.Spec) { s.Process.Args = []string{"sleep", "1000"} })
	k := create(t, dir)
	must(t, "start", k.id)
	if diff := cmp.Diff(hostSaid(t), must(t, "exec", k.id, "sh", "-c", script)); diff != "" {
		t.Errorf("exec (-want +got):\n%s", diff)
	}
	c := exec.Command(staveOCI, "--root", root, "exec", "--tty", k.id, "sh", "-c", "tty; cat /home/file")
	if got := runOnTerminal(t, c, 11, 22); !strings.Contains(got.out, "/dev/pts/0\r\nin the root") {
		t.Errorf("exec on a terminal: %+v", got)
	}
	must(t, "delete", "--force", k.id)
}

// hostInterrupt kills a creation while a hook keeps it from going on, and deletes what is left.
func hostInterrupt(t *testing.T, dir string) {
	t.Helper()
	write(t, dir, read(t, dir), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: hook("echo > " + dir + "/hooked; while kill -0 $PPID; do sleep 0.05; done")}
	})
	before := mountinfo(t, "thread-self")
	id := "stave-test-" + filepath.Base(dir)
	c := exec.Command(staveOCI, "--root", root, "create", "--bundle", dir, id)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the hook runs", func() bool {
		_, err := os.Stat(dir + "/hooked")
		return err == nil
	})
	c.Process.Kill()
	c.Wait()
	if mountinfo(t, "thread-self") == before {
		t.Error("there was nothing to take away")
	}
	must(t, "delete", "--force", id)
}

// hostSecond refuses a container in the root folder of another one, which is left as it is.
func hostSecond(t *testing.T, dir string) {
	t.Helper()
	k := create(t, dir)
	before := mountinfo(t, "thread-self")
	checkRefusal(t, run(t, oci(dir)), 0, []string{"root.path", "mounted over itself twice", "another container"})
	if diff := cmp.Diff(before, mountinfo(t, "thread-self")); diff != "" {
		t.Errorf("mounts of the first (-before +after):\n%s", diff)
	}
	must(t, "delete", k.id)
}
