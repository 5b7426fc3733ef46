// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// needCRIU skips a test where CRIU is not there, or says that this kernel is not for it.
func needCRIU(t *testing.T) {
	t.Helper()
	witness.Need(t, "root", "command:busybox", "command:criu")
	if out, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
		t.Skipf("needs a CRIU that works with this kernel: criu check: %v: %s", err, out)
	}
}

// patiently runs stave-oci for as long as CRIU needs in an emulated machine, with the container's streams in the file of
// its bundle, where it goes on to write.
func patiently(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.Command(staveOCI, append([]string{"--root", root}, args...)...)
	streams(t, c, dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	alarm := time.AfterFunc(5*time.Minute, func() { c.Process.Kill() })
	defer alarm.Stop()
	if err := c.Wait(); err != nil {
		t.Fatalf("stave-oci %s: %v: %s", strings.Join(args, " "), err, kept{bundle: dir}.output(t))
	}
}

// streams gives a command the output file of a bundle.
func streams(t *testing.T, c *exec.Cmd, dir string) {
	t.Helper()
	out, err := os.OpenFile(dir+"/output", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	c.Stdout, c.Stderr = out, out
}

// counter counts, and on SIGTERM prints what it alone knows, and ends.
const counter = `
secret=$(cat /proc/sys/kernel/random/uuid); echo $secret >/data/secret
trap 'echo "$secret $n"; exit 7' TERM
n=0; while :; do n=$((n+1)); echo $n >/data/n.new; mv /data/n.new /data/n; sleep 0.05; done`

// reached is how far it has got.
func reached(dir string) int {
	text, _ := os.ReadFile(dir + "/rootfs/data/n")
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// goesOn waits until a counter has counted on.
func goesOn(t *testing.T, dir string) {
	t.Helper()
	from := reached(dir)
	witness.Until(t, "the counter goes on", func() bool { return reached(dir) > from })
}

// TestMigration writes a container into images by CRIU, lets it go on, writes it once more, and makes another container of
// the images, in which the processes go on where they were: with their memory, mounts, limits and network.
func TestMigration(t *testing.T) {
	needCRIU(t)
	lend := folder(t)
	dir := newBundle(t, counter, addMount("/lent", "bind", lend, "rbind", "ro"), func(s *specs.Spec) {
		s.Root.Readonly = false
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: new(int64(50))}
	})
	if err := os.Symlink("busybox", dir+"/rootfs/bin/mv"); err != nil {
		t.Fatal(err)
	}
	k := create(t, dir)
	must(t, "start", k.id)
	witness.Until(t, "the counter counts", func() bool { return reached(dir) > 2 })
	before, hosts := mountsOf(t, k.pid), mountsOf(t, os.Getpid())
	images := folder(t) + "/images"
	patiently(t, dir, "checkpoint", "--image-path", images, "--leave-running", k.id)
	if s := k.state(t); s.Status != "running" || s.Pid != k.pid {
		t.Errorf("with --leave-running: %+v", s)
	}
	goesOn(t, dir)
	patiently(t, dir, "checkpoint", "--image-path", images, "--work-path", images+"/work", k.id)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", k.pid)); !os.IsNotExist(err) || len(groupsNamed(t, k.id)) > 0 {
		t.Errorf("something is left: %v, %q", err, groupsNamed(t, k.id))
	}
	stopped := reached(dir)

	second := kept{id: k.id + "-again", bundle: dir}
	c := exec.Command(staveOCI, "--root", root, "restore", "--bundle", dir, "--image-path", images, "--pid-file", dir+"/pid", second.id)
	streams(t, c, dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, "delete", "--force", second.id); c.Wait() })
	goesOn(t, dir)
	if n := reached(dir); n < stopped {
		t.Errorf("it began again: %d after %d", n, stopped)
	}
	s := second.state(t)
	if text, err := os.ReadFile(dir + "/pid"); err != nil || string(text) != fmt.Sprint(s.Pid) || s.Status != "running" {
		t.Errorf("the state is %+v, the pid file holds %q (%v)", s, text, err)
	}
	if diff := cmp.Diff(before, mountsOf(t, s.Pid)); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(hosts, mountsOf(t, os.Getpid())); diff != "" {
		t.Errorf("the host's mounts (-before +after):\n%s", diff)
	}
	checkRestored(t, second, s.Pid)
	must(t, "kill", second.id, "TERM")
	c.Wait()
	secret, err := os.ReadFile(dir + "/rootfs/data/secret")
	last := func(n int) string { return fmt.Sprintf("%s %d\n", strings.TrimSpace(string(secret)), n) }
	n, output := reached(dir), second.output(t) // the last number may not have come to the file
	if code(c) != 7 || err != nil || !strings.HasSuffix(output, last(n)) && !strings.HasSuffix(output, last(n+1)) {
		t.Errorf("exit code %d, want 7, and the last line %q (%v): %s", code(c), last(n), err, output)
	}
	if left := groupsNamed(t, second.id); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// mountsOf lists what a process sees mounted, sorted, as CRIU may make it in another order, without what is another in
// another container.
func mountsOf(t *testing.T, pid int) []string {
	t.Helper()
	var list []string
	for _, m := range witness.Mounts(t, pid) {
		if strings.HasPrefix(m.Type, "cgroup") {
			m.Root = ""
		}
		list = append(list, fmt.Sprintf("%s %s %s %s %s", m.Point, m.Type, m.Root, m.Options, m.Super))
	}
	slices.Sort(list)
	return list
}

// checkRestored looks at the cgroup and at the network of a container that was restored, and joins it.
func checkRestored(t *testing.T, k kept, pid int) {
	t.Helper()
	if pids := members(t, k.id); !slices.Contains(pids, pid) {
		t.Errorf("the cgroup holds %v, want %d", pids, pid)
	}
	_, mount := hierarchyOf(t, "pids")
	if text, err := os.ReadFile(filepath.Join(mount, k.id, "pids.max")); err != nil || strings.TrimSpace(string(text)) != "50" {
		t.Errorf("the limit is %q (%v)", text, err)
	}
	flags, err := strconv.ParseInt(strings.TrimSpace(must(t, "exec", k.id, "cat", "/sys/class/net/lo/flags")), 0, 64)
	if err != nil || flags&unix.IFF_UP == 0 {
		t.Errorf("lo has the flags %#x (%v)", flags, err)
	}
	if witness.Namespace(t, pid, "net") == witness.Namespace(t, os.Getpid(), "net") {
		t.Error("it is in the host's network")
	}
}

// TestMigrationOfPipes restores a container whose output goes into a pipe, and that shares namespaces of another process: the
// next lines come out of the new pipe, and the namespaces are the same. Its memory was written in two steps.
func TestMigrationOfPipes(t *testing.T) {
	needCRIU(t)
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	dir := newBundle(t, "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done", func(s *specs.Spec) {
		s.Hostname = ""
		for i, n := range s.Linux.Namespaces {
			if file, shared := map[specs.LinuxNamespaceType]string{"network": "net", "ipc": "ipc", "uts": "uts"}[n.Type]; shared {
				s.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", other.Process.Pid, file)
			}
		}
	})
	k := kept{id: "stave-test-" + filepath.Base(dir), bundle: dir}
	t.Cleanup(func() { must(t, "delete", "--force", k.id) })
	images := folder(t) + "/images"
	lines := piped(t, "run", "--detach", "--bundle", dir, k.id)
	first := number(t, lines)
	patiently(t, dir, "checkpoint", "--pre-dump", "--image-path", filepath.Dir(images)+"/before", k.id)
	patiently(t, dir, "checkpoint", "--image-path", images, "--parent-path", "../before", k.id)
	if to, err := os.Readlink(images + "/parent"); err != nil || to != "../before" {
		t.Errorf("the parent of the images is %q (%v)", to, err)
	}
	for lines.Scan() { // to the end: nobody has the pipe any more
		first, _ = strconv.Atoi(lines.Text())
	}
	if next := number(t, piped(t, "restore", "--detach", "--bundle", dir, "--image-path", images, k.id)); next != first+1 {
		t.Errorf("after %d came %d", first, next)
	}
	for _, kind := range []string{"net", "ipc", "uts"} {
		if pid := k.state(t).Pid; witness.Namespace(t, pid, kind) != witness.Namespace(t, other.Process.Pid, kind) {
			t.Errorf("the %s namespace is another", kind)
		}
	}
}

// piped runs stave-oci until it ends, with a pipe as the output, and returns the lines that come out of it.
func piped(t *testing.T, args ...string) *bufio.Scanner {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.SetReadDeadline(time.Now().Add(5 * time.Minute))
	c := exec.Command(staveOCI, append([]string{"--root", root}, args...)...)
	c.Stdout = w
	errs := folder(t)
	log, err := os.Create(errs + "/errors")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	err = c.Run()
	w.Close()
	if text, _ := os.ReadFile(errs + "/errors"); err != nil {
		t.Fatalf("stave-oci %s: %v: %s", strings.Join(args, " "), err, text)
	}
	return bufio.NewScanner(r)
}

// number reads the next line.
func number(t *testing.T, lines *bufio.Scanner) int {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("no line came: %v", lines.Err())
	}
	n, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestMigrationOfTerminal restores a container with a terminal, whose new other end comes over a socket.
func TestMigrationOfTerminal(t *testing.T) {
	needCRIU(t)
	dir := newBundle(t, "while read line; do echo got $line; done", func(s *specs.Spec) { s.Process.Terminal = true })
	k := kept{id: "stave-test-" + filepath.Base(dir), bundle: dir}
	t.Cleanup(func() { must(t, "delete", "--force", k.id) })
	images := folder(t) + "/images"
	for n, args := range [][]string{{"run"}, {"restore", "--image-path", images}} {
		socket, take := consoleSocket(t)
		patiently(t, dir, slices.Concat(args, []string{"--detach", "--bundle", dir, "--console-socket", socket, k.id})...)
		master := take()
		fmt.Fprintf(master, "line %d\n", n)
		lines, want := bufio.NewScanner(master), fmt.Sprintf("got line %d", n)
		for lines.Scan() && strings.TrimSpace(lines.Text()) != want {
		}
		if err := lines.Err(); err != nil {
			t.Fatalf("%s did not come: %v", want, err)
		}
		if n == 0 {
			patiently(t, dir, "checkpoint", "--image-path", images, k.id)
		}
	}
}

// consoleSocket makes a socket that takes a terminal's master end, and returns how to get it.
func consoleSocket(t *testing.T) (name string, take func() *os.File) {
	t.Helper()
	name = folder(t) + "/console"
	listener, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return name, func() *os.File {
		connection, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		control := make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := connection.(*net.UnixConn).ReadMsgUnix(make([]byte, 1), control)
		if err != nil {
			t.Fatal(err)
		}
		messages, err1 := unix.ParseSocketControlMessage(control[:n])
		if err1 != nil || len(messages) != 1 {
			t.Fatalf("no descriptor came: %v", err1)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(fds[0], true)
		master := os.NewFile(uintptr(fds[0]), "master")
		master.SetReadDeadline(time.Now().Add(time.Minute))
		t.Cleanup(func() { master.Close() })
		return master
	}
}

// TestMigrationOfUsers restores a container with a user namespace, whose devices are the host's.
func TestMigrationOfUsers(t *testing.T) {
	needCRIU(t)
	dir := newBundle(t, counter, func(s *specs.Spec) {
		s.Root.Readonly = false
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100_000, Size: 65_536}}
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings, s.Linux.GIDMappings = ids, ids
	})
	give(t, dir+"/rootfs", 100_000)
	if err := os.Symlink("busybox", dir+"/rootfs/bin/mv"); err != nil {
		t.Fatal(err)
	}
	k := create(t, dir)
	if err := os.Chmod(dir+"/output", 0o666); err != nil { // a user of the container opens it again
		t.Fatal(err)
	}
	must(t, "start", k.id)
	witness.Until(t, "the counter counts", func() bool { return reached(dir) > 2 })
	before := mountsOf(t, k.pid)
	images := folder(t) // which users of the container may enter
	patiently(t, dir, "checkpoint", "--image-path", images, k.id)
	patiently(t, dir, "restore", "--detach", "--bundle", dir, "--image-path", images, k.id)
	goesOn(t, dir)
	if diff := cmp.Diff(before, mountsOf(t, k.state(t).Pid)); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
}
