// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestCheckpointRefused asks for what can't be done: the container goes on, and the error says why.
func TestCheckpointRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "while :; do sleep 0.05; done")
	k := create(t, dir)
	if got := do(t, "checkpoint", k.id); got.code != 1 || !strings.Contains(got.err, "cannot be checkpointed in the state created") {
		t.Errorf("of one that is not started: %d %q", got.code, got.err)
	}
	must(t, "start", k.id)
	for name, test := range map[string]struct {
		script, fail string
		args         []string
		want         []string
	}{
		"kernel": {
			`case $1 in check) echo 'Error (criu/cr-check.c:1): the feature that is missing' >&2; esac; exit 1`, "", nil,
			[]string{"does not work with this kernel", "the feature that is missing"},
		},
		"CRIU alone": {
			`case $1 in check) echo 'Looks good.'; exit; esac; echo 'Error (criu/x.c:1): its own fault' >&2; exit 1`, "", nil,
			[]string{"its own fault"},
		},
		"an old one":     {"", "old", nil, []string{"version 3.15", "3.16 or later"}},
		"failed":         {"", "end", nil, []string{"device or resource busy", "the fake's reason", "images/dump.log"}},
		"no tracking":    {"", "features", []string{"--pre-dump"}, []string{"--pre-dump: this kernel does not track"}},
		"no lazy pages":  {"", "features", []string{"--lazy-pages", "--page-server", "localhost:27"}, []string{"--lazy-pages: this kernel lacks"}},
		"status":         {"", "", []string{"--status-fd", "77", "--lazy-pages"}, []string{"--status-fd 77"}},
		"namespace":      {"", "", []string{"--empty-ns", "ipc"}, []string{`--empty-ns "ipc"`}},
		"unknown option": {"", "", []string{"--nonsense"}, []string{"nonsense", "--help"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakeCRIU(t, test.script)
			t.Setenv("FAKE_CRIU_FAIL", test.fail)
			images := folder(t) + "/images"
			got := do(t, slices.Concat([]string{"checkpoint", "--image-path", images}, test.args, []string{k.id})...)
			for _, want := range test.want {
				if got.code != 1 || !strings.Contains(got.err, want) {
					t.Errorf("exit code %d, want 1, and %q: %s", got.code, want, got.err)
				}
			}
			if s := k.state(t); s.Status != "running" || program(k.pid) != "busybox" {
				t.Errorf("the container is %s", s.Status)
			}
		})
	}
}

// TestCheckpointAsks looks at what CRIU is asked for, and at what becomes of the container.
func TestCheckpointAsks(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	lend := folder(t)
	dir := newBundle(t, "while :; do sleep 0.05; done", addMount("/lent", "bind", lend, "bind", "ro"), addMount("/to/x", "bind", lend, "bind"), func(s *specs.Spec) {
		s.Root.Readonly = false
	})
	if err := os.Symlink("/data", dir+"/rootfs/to"); err != nil {
		t.Fatal(err)
	}
	k := create(t, dir)
	must(t, "start", k.id)
	fake := fakeCRIU(t, "")
	images := folder(t) + "/images"
	must(t, "checkpoint", "--image-path", images, "--work-path", images+"/work", "--leave-running", k.id)
	r := asked(t, fake, "dump")
	if int(r.GetPid()) != k.pid || !r.GetLeaveRunning() || r.GetRoot() != dir+"/rootfs" {
		t.Errorf("asked for %v", r.MarshalProtoText())
	}
	for _, key := range []string{"/lent", "/data/x"} {
		if !slices.ContainsFunc(r.GetExtMnt(), func(m *rpc.ExtMountMap) bool { return m.GetKey() == key && m.GetVal() == key }) {
			t.Errorf("the mount on %s is not external: %v", key, r.MarshalProtoText())
		}
	}
	if frozen := r.GetFreezeCgroup(); !strings.HasSuffix(frozen, "/"+k.id) {
		t.Errorf("to freeze: %q", frozen)
	}
	checkYard(t, r.GetCgroupYard(), fake)
	for _, name := range []string{"images/pstree.img", "images/descriptors.json", "images/work/dump.log"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(images), name)); err != nil {
			t.Error(err)
		}
	}
	if s := k.state(t); s.Status != "running" || s.Pid != k.pid {
		t.Errorf("with --leave-running: %+v", s)
	}
	must(t, "checkpoint", "--image-path", images, k.id)
	if got := do(t, "state", k.id); got.code != 1 || !strings.Contains(got.err, "container does not exist") {
		t.Errorf("it is still there: %d %s%s", got.code, got.out, got.err)
	}
	if left := groupsNamed(t, k.id); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// checkYard looks for each hierarchy of cgroups where CRIU does, and for what is left of that on the host: nothing.
func checkYard(t *testing.T, yard, fake string) {
	t.Helper()
	text, err := os.ReadFile(fake + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		name := strings.TrimPrefix(strings.Split(line, ":")[1], "name=")
		if name == "" {
			name = "unified"
		}
		if !strings.Contains(string(text), " "+yard+"/"+name+" ") {
			t.Errorf("no hierarchy on %s/%s:\n%s", yard, name, text)
		}
	}
	if _, err := os.Stat(filepath.Dir(yard)); !os.IsNotExist(err) {
		t.Errorf("left: %s (%v)", filepath.Dir(yard), err)
	}
}

// TestRestoreRefused restores what can't be, and looks for what is left.
func TestRestoreRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	images := folder(t)
	put(t, images+"/descriptors.json", `["/dev/null","pipe:[1]","pipe:[2]"]`, 0o600)
	empty := folder(t)
	for name, test := range map[string]struct {
		fail, images string
		args         []string
		change       change
		want         string
	}{
		"no images":     {"", empty, nil, unlimited, "are these the images of a container?"},
		"no folder":     {"", empty + "/x", nil, unlimited, "--image-path"},
		"CRIU fails":    {"end", images, nil, unlimited, "the fake's reason"},
		"too old":       {"old", images, nil, unlimited, "version 3.15"},
		"a hook":        {"", images, nil, func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}} }, "createRuntime"},
		"no pivot":      {"", images, []string{"--no-pivot"}, unlimited, "--no-pivot"},
		"no pid file":   {"", images, []string{"--pid-file", "/nonexistent/pid"}, unlimited, "--pid-file"},
		"terminal":      {"", images, nil, func(s *specs.Spec) { s.Process.Terminal = true }, "--console-socket"},
		"mount mapped":  {"", images, nil, addMount("/lent", "bind", empty, "bind", "idmap"), "id-mapped"},
		"other profile": {"", images, []string{"--lsm-profile", "x"}, unlimited, "--lsm-profile"},
	} {
		t.Run(name, func(t *testing.T) {
			fakeCRIU(t, "")
			t.Setenv("FAKE_CRIU_FAIL", test.fail)
			dir := newBundle(t, "true", test.change)
			id := "stave-test-" + filepath.Base(dir)
			got := do(t, slices.Concat([]string{"restore", "--detach", "--bundle", dir, "--image-path", test.images}, test.args, []string{id})...)
			if got.code != 1 || !strings.Contains(got.err, test.want) {
				t.Errorf("exit code %d, want 1, and %q: %s", got.code, test.want, got.err)
			}
			if _, err := os.Stat(filepath.Join(root, id)); !os.IsNotExist(err) || len(groupsNamed(t, id)) > 0 {
				t.Errorf("something is left: %v, %q", err, groupsNamed(t, id))
			}
		})
	}
}

// unlimited changes nothing.
func unlimited(*specs.Spec) {}

// TestRestoreAsks lets the fake restore, and looks at what it was asked for, at where it was, and at the container.
func TestRestoreAsks(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	fake := fakeCRIU(t, "")
	images, lend := folder(t), folder(t)
	put(t, images+"/descriptors.json", `["/dev/null","pipe:[1]","pipe:[1]"]`, 0o600)
	dir := newBundle(t, "", addMount("/new/lent", "bind", lend, "bind"), addMount("/new/lent/inside", "tmpfs", "tmpfs"), limited)
	k := kept{id: "stave-test-" + filepath.Base(dir), bundle: dir}
	t.Cleanup(func() { must(t, "delete", "--force", k.id) })
	must(t, "restore", "--detach", "--bundle", dir, "--image-path", images, "--pid-file", dir+"/pid", k.id)
	s := k.state(t)
	if text, err := os.ReadFile(dir + "/pid"); err != nil || s.Status != "running" || string(text) != fmt.Sprint(s.Pid) {
		t.Errorf("the state is %+v, and the pid file holds %q (%v)", s, text, err)
	}
	if pids := members(t, k.id); !slices.Contains(pids, s.Pid) {
		t.Errorf("the cgroup holds %v, want %d", pids, s.Pid)
	}
	r := asked(t, fake, "restore")
	if !slices.ContainsFunc(r.GetExtMnt(), func(m *rpc.ExtMountMap) bool { return m.GetKey() == "/new/lent" && m.GetVal() == lend }) {
		t.Errorf("asked for %v", r.MarshalProtoText())
	}
	if !slices.ContainsFunc(r.GetCgRoot(), func(c *rpc.CgroupRoot) bool { return strings.HasSuffix(c.GetPath(), "/"+k.id) }) {
		t.Errorf("the cgroups are %v", r.MarshalProtoText())
	}
	if text, _ := os.ReadFile(fake + "/streams"); !strings.HasPrefix(string(text), "pipe:[1]=pipe:[") || strings.Contains(string(text), "\n") {
		t.Errorf("the streams are %q", text)
	}
	checkAround(t, fake, dir, r.GetRoot())
	checkYard(t, r.GetCgroupYard(), fake)
	must(t, "kill", k.id, "KILL")
	k.until(t, "stopped")
}

// checkAround looks at the mounts that CRIU had, and at the host, which has none of them but the places for mounts.
func checkAround(t *testing.T, fake, dir, criuRoot string) {
	t.Helper()
	text, err := os.ReadFile(fake + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		points = append(points, strings.Fields(line)[4])
	}
	inBundle := func(point string) bool { return strings.HasPrefix(point, dir) }
	if !slices.Contains(points, criuRoot) || slices.ContainsFunc(points, inBundle) {
		t.Errorf("the root %s is not the only bind of the bundle:\n%s", criuRoot, text)
	}
	here, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(here), criuRoot) {
		t.Errorf("the host sees the mount on %s (%v)", criuRoot, err)
	}
	for _, place := range []string{"/rootfs/new/lent", "/rootfs/proc"} {
		if info, err := os.Stat(dir + place); err != nil || !info.IsDir() {
			t.Errorf("no place for a mount: %v", err)
		}
	}
	if _, err := os.Stat(criuRoot); !os.IsNotExist(err) {
		t.Errorf("left: %s (%v)", criuRoot, err)
	}
}

// TestRestoreForeground waits for what was restored: signals are passed on, and its exit code is that of stave-oci.
func TestRestoreForeground(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	fake := fakeCRIU(t, "")
	images := folder(t)
	put(t, images+"/descriptors.json", `[]`, 0o600)
	dir := newBundle(t, "")
	k := kept{id: "stave-test-" + filepath.Base(dir), bundle: dir}
	c := exec.Command(staveOCI, "--root", root, "restore", "--bundle", dir, "--image-path", images, k.id)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "it waits for a signal", func() bool { _, err := os.Stat(fake + "/ready"); return err == nil })
	witness.Until(t, "it runs", func() bool { got := do(t, "state", k.id); return strings.Contains(got.out, `"running"`) })
	if err := c.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if c.Wait(); code(c) != 9 {
		t.Errorf("exit code %d, want 9", code(c))
	}
	if got := do(t, "state", k.id); got.code != 1 || len(groupsNamed(t, k.id)) > 0 {
		t.Errorf("it is still there: %s, %q", got.out, groupsNamed(t, k.id))
	}
}
