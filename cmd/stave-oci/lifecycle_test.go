// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/container"
	"stave/internal/witness"
)

// do runs stave-oci with arguments.
func do(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, exec.Command(staveOCI, append([]string{"--root", root}, args...)...))
}

// must is do, for what has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	got := do(t, args...)
	if got.code != 0 {
		t.Fatalf("stave-oci %s: exit code %d: %s", strings.Join(args, " "), got.code, got.err)
	}
	return got.out
}

// kept is a container that the tests make and delete.
type kept struct {
	id, bundle string
	pid        int
}

// create makes the container of a bundle, with its streams in files of the bundle, and removes it when the test ends.
func create(t *testing.T, bundle string, options ...string) kept {
	t.Helper()
	k := kept{id: fmt.Sprintf("stave-test-%s-%d", filepath.Base(bundle), rand.N(1_000_000)), bundle: bundle}
	c := exec.Command(staveOCI, append(append([]string{"--root", root, "create", "--bundle", bundle, "--pid-file", bundle + "/pid"}, options...), k.id)...)
	out, err := os.Create(bundle + "/output")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.Stdout, c.Stderr = out, out                            // not pipes: the container has them for as long as it lives
	t.Cleanup(func() { must(t, "delete", k.id, "--force") }) // options may come last
	if err := c.Run(); err != nil {
		t.Fatalf("create: %v: %s", err, k.output(t))
	}
	text, err := os.ReadFile(bundle + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	if k.pid, err = strconv.Atoi(string(text)); err != nil {
		t.Fatal(err)
	}
	return k
}

// output is what the container has written.
func (k kept) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(k.bundle + "/output")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// state asks stave-oci.
func (k kept) state(t *testing.T) (s container.State) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, "state", k.id)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits for a status.
func (k kept) until(t *testing.T, want specs.ContainerState) {
	t.Helper()
	witness.Until(t, fmt.Sprintf("the container is %s", want), func() bool { return k.state(t).Status == want })
}

// program is what a process executes, "" once it has ended.
func program(pid int) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(name)
}

// TestLifecycle leads a container from its creation to its end, and looks at the process and at the cgroup at each stage.
func TestLifecycle(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := create(t, newBundle(t, "echo started; exec sleep 1000"))
	if s := k.state(t); s.Status != "created" || s.Pid != k.pid || s.Bundle != k.bundle || s.ID != k.id {
		t.Errorf("after create the state is %+v", s)
	}
	if got := program(k.pid); got == "busybox" || got == "" {
		t.Errorf("before the start the process runs %q", got)
	}
	if pids := members(t, k.id); len(pids) != 1 || pids[0] != k.pid {
		t.Errorf("the cgroup holds %v, want %d", pids, k.pid)
	}
	must(t, "start", k.id)
	witness.Until(t, "the command runs", func() bool { return program(k.pid) == "busybox" && k.output(t) == "started\n" })
	k.until(t, "running")
	for _, args := range [][]string{{"start", k.id}, {"delete", k.id}, {"create", "--bundle", k.bundle, k.id}} {
		if got := do(t, args...); got.code != 1 || got.err == "" {
			t.Errorf("%v of a running container: exit code %d, %q", args, got.code, got.err)
		}
	}
	must(t, "kill", k.id, "KILL")
	k.until(t, "stopped")
	if got := do(t, "kill", k.id); got.code != 1 || !strings.Contains(got.err, "container not running") {
		t.Errorf("kill of a stopped container: %d %q", got.code, got.err)
	}
	must(t, "delete", k.id)
	if got := do(t, "state", k.id); got.code != 1 || !strings.Contains(got.err, "container does not exist") {
		t.Errorf("state of a deleted container: %d %q", got.code, got.err)
	}
	if left := groupsNamed(t, k.id); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := os.Stat(filepath.Join(root, k.id)); !os.IsNotExist(err) {
		t.Errorf("the folder is there: %v", err)
	}
}

// TestCreateFails makes containers whose command is not there, or can't be executed: that is an error of create, and
// nothing is left.
func TestCreateFails(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for command, want := range map[string]string{
		"/nonexistent": "no such file or directory", "nonexistent": "no such file or directory", "/etc/passwd": "permission denied",
	} {
		dir := newBundle(t, "", func(s *specs.Spec) { s.Process.Args = []string{command} })
		id := "stave-test-" + filepath.Base(dir)
		if got := do(t, "create", "--bundle", dir, id); got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit code %d, want 1: %s", command, got.code, got.err)
		}
		if _, err := os.Stat(filepath.Join(root, id)); !os.IsNotExist(err) || len(groupsNamed(t, id)) > 0 {
			t.Errorf("%s: something is left: %v", command, err)
		}
	}
}

// TestStartFails takes the command away between create and start: that is an error of start, and the container has stopped.
func TestStartFails(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "", func(s *specs.Spec) { s.Process.Args = []string{"/bin/script"} })
	k := create(t, dir)
	if err := os.Remove(dir + "/rootfs/bin/script"); err != nil {
		t.Fatal(err)
	}
	if got := do(t, "start", k.id); got.code != 1 || !strings.Contains(got.err, "execute /bin/script: no such file") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
	k.until(t, "stopped")
}

// TestRunDetached runs a container that stave-oci leaves to itself.
func TestRunDetached(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "exec sleep 1000")
	id := "stave-test-" + filepath.Base(dir)
	c := exec.Command(staveOCI, "--root", root, "run", "--detach", "--bundle", dir, id)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, "delete", "--force", id) })
	k := kept{id: id, bundle: dir}
	s := k.state(t)
	if s.Status != "running" || program(s.Pid) != "busybox" {
		t.Errorf("the state is %+v, and the process runs %q", s, program(s.Pid))
	}
}

// TestRunKeeps runs a container that is kept after its end.
func TestRunKeeps(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "exit 3")
	id := "stave-test-" + filepath.Base(dir)
	if got := do(t, "run", "--keep", "--bundle", dir, id); got.code != 3 {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
	if s := (kept{id: id}).state(t); s.Status != "stopped" || s.Pid != 0 {
		t.Errorf("the state is %+v", s)
	}
	must(t, "delete", id)
}

// TestRunIsKnown looks at a container in the foreground by other commands, and deletes it from there.
func TestRunIsKnown(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "echo ready; exec sleep 1000")
	c := startReady(t, dir)
	id := filepath.Base(dir)
	if s := (kept{id: id}).state(t); s.Status != "running" || s.Pid == 0 {
		t.Errorf("the state is %+v", s)
	}
	must(t, "delete", "--force", id)
	if got := c.wait(t); got != 128+int(unix.SIGKILL) {
		t.Errorf("exit code %d", got)
	}
	if got := do(t, "state", id); got.code != 1 {
		t.Errorf("it is still known: %s", got.out)
	}
}

// TestThousand creates, starts, lists, kills and deletes a thousand containers, eight at a time, while two others ask for
// their states. Every fifth creation is killed at a random moment. Nothing stays behind, and no command fails but for that.
func TestThousand(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	times := 1000
	if testing.Short() {
		times = 40
	}
	prefix := fmt.Sprintf("stave-test-thousand-%d-", os.Getpid())
	dir := newBundle(t, "exec sleep 1000", limited)
	begin := time.Now()
	one := thousandth{t, dir, prefix + "first"}
	one.live()
	whole := time.Since(begin) / 4
	done := make(chan struct{})
	var askers, group sync.WaitGroup
	for range 2 {
		askers.Go(func() { ask(t, prefix, done) })
	}
	numbers := make(chan int)
	for range 8 {
		group.Go(func() {
			for n := range numbers {
				c := thousandth{t, dir, prefix + strconv.Itoa(n)}
				if n%5 == 0 {
					c.interrupt(rand.N(whole))
				} else {
					c.live()
				}
			}
		})
	}
	for n := range times {
		numbers <- n
	}
	close(numbers)
	group.Wait()
	close(done)
	askers.Wait()
	if left := groupsNamed(t, prefix); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
	if out := must(t, "list"); strings.Contains(out, prefix) {
		t.Errorf("listed are still:\n%s", out)
	}
}

// ask asks for states until it is done: the answer is a state, or that there is no such container.
func ask(t *testing.T, prefix string, done <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-done:
			return
		default:
		}
		id := prefix + strconv.Itoa(n%1000)
		c := exec.Command(staveOCI, "--root", root, "state", id)
		out, err := c.CombinedOutput()
		known := err == nil || strings.Contains(string(out), "container does not exist") || strings.Contains(string(out), "was interrupted") || strings.Contains(string(out), "just making it")
		if !known {
			t.Errorf("state %s: %v: %s", id, err, out)
		}
		if n%20 == 0 {
			if out, err := exec.Command(staveOCI, "--root", root, "list", "--format", "json").CombinedOutput(); err != nil || !json.Valid(out) {
				t.Errorf("list: %v: %s", err, out)
			}
		}
	}
}

// thousandth is one container of many.
type thousandth struct {
	t       *testing.T
	dir, id string
}

// run runs a command of its life.
func (o thousandth) run(args ...string) bool {
	c := exec.Command(staveOCI, append([]string{"--root", root}, append(args, o.id)...)...)
	file, err := os.CreateTemp(o.t.TempDir(), "out")
	if err != nil {
		o.t.Error(err)
		return false
	}
	defer file.Close()
	c.Stdout, c.Stderr = file, file
	if err := c.Run(); err != nil {
		text, _ := os.ReadFile(file.Name())
		o.t.Errorf("%v: %v: %s", args, err, text)
		return false
	}
	return true
}

// live leads it from creation to deletion.
func (o thousandth) live() {
	if !o.run("create", "--bundle", o.dir) {
		return
	}
	if o.run("start") && len(members(o.t, o.id)) == 0 {
		o.t.Errorf("%s has no process", o.id)
	}
	o.run("kill", "--all")
	o.run("delete", "--force")
}

// interrupt kills its creation after a time, and deletes what there is.
func (o thousandth) interrupt(after time.Duration) {
	c := exec.Command(staveOCI, "--root", root, "create", "--bundle", o.dir, o.id)
	if err := c.Start(); err != nil {
		o.t.Error(err)
		return
	}
	<-time.After(after)
	c.Process.Kill()
	c.Wait()
	o.run("delete", "--force")
	if left := members(o.t, o.id); len(left) > 0 {
		o.t.Errorf("%s: processes %v are left", o.id, left)
	}
}

// TestDeleteWhileAHookHangs deletes by force a container whose creation waits for a hook.
func TestDeleteWhileAHookHangs(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "true")
	spec := read(t, dir)
	spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo $$ >" + dir + "/hook; exec sleep 1000"}}}}
	write(t, dir, spec)
	id := "stave-test-" + filepath.Base(dir)
	c := exec.Command(staveOCI, "--root", root, "create", "--bundle", dir, id)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the hook hangs", func() bool { return len(members(t, id)) > 0 && hangs(dir+"/hook") > 0 })
	must(t, "delete", "--force", id)
	c.Wait()
	if got := code(c); got != 128+int(unix.SIGKILL) {
		t.Errorf("create: exit code %d", got)
	}
	if left := groupsNamed(t, id); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	unix.Kill(hangs(dir+"/hook"), unix.SIGKILL)
}

// hangs reads the number of a hook's process, 0 before it has written it.
func hangs(name string) (pid int) {
	text, _ := os.ReadFile(name)
	fmt.Sscan(string(text), &pid)
	return pid
}

// TestListenDescriptors passes a file by the protocol of sd_listen_fds(3), and one that is meant for another process.
func TestListenDescriptors(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "readlink /proc/self/fd/3; echo $LISTEN_FDS $LISTEN_PID")
	for pid, want := range map[string]string{"$$": "/dev/null\n1 1\n", "1": "\n"} {
		script := fmt.Sprintf("exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=%s exec %s --root %s run --bundle %s %s", pid, staveOCI, root, dir, filepath.Base(dir))
		got := run(t, exec.Command("sh", "-c", script))
		if meant := pid == "$$"; strings.HasPrefix(got.out, "/dev/null") != meant || !strings.HasSuffix(got.out, want[len(want)-1:]) || meant && got.out != want {
			t.Errorf("LISTEN_PID=%s: %+v", pid, got)
		}
	}
	if got := do(t, "run", "--preserve-fds", "9", "--bundle", dir, filepath.Base(dir)); got.code != 1 || !strings.Contains(got.err, "is not open") {
		t.Errorf("descriptors that are not there: %+v", got)
	}
}
