// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// TestHooksThatFail has a hook at each point that fails in some way. Those before the start end the creation with an error
// that says which one failed and how; the command does not run; the poststop hooks do, and nothing is left.
func TestHooksThatFail(t *testing.T) {
	witness.Need(t, "root")
	second := []specs.Hook{{Path: "/bin/true"}, hook("echo one; echo two >&2; exit 3")[0]}
	slow := []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "trap '' TERM; while :; do sleep 1; done"}, Timeout: new(1)}}
	missing := []specs.Hook{{Path: "/nonexistent/hook"}}
	said := []string{"hook 2, /bin/sh", "exit code 3", `it wrote "one\ntwo"`}
	for name, test := range map[string]struct {
		hooks specs.Hooks
		say   []string
	}{
		//lint:ignore SA1019 Prestart is deprecated, and still there.
		"prestart":                {specs.Hooks{Prestart: second}, append(said, "prestart")},
		"createRuntime":           {specs.Hooks{CreateRuntime: second}, append(said, "createRuntime")},
		"createContainer":         {specs.Hooks{CreateContainer: second}, append(said, "createContainer")},
		"startContainer":          {specs.Hooks{StartContainer: second}, append(said, "startContainer")},
		"slow createRuntime":      {specs.Hooks{CreateRuntime: slow}, []string{"createRuntime hook 1", "did not end within 1 s"}},
		"slow createContainer":    {specs.Hooks{CreateContainer: slow}, []string{"createContainer hook 1", "did not end within 1 s"}},
		"missing createRuntime":   {specs.Hooks{CreateRuntime: missing}, []string{"createRuntime hook 1, /nonexistent/hook", "no such file"}},
		"missing createContainer": {specs.Hooks{CreateContainer: missing}, []string{"createContainer hook 1, /nonexistent/hook", "exit code 127 (is it there"}},
		"missing startContainer":  {specs.Hooks{StartContainer: missing}, []string{"startContainer hook 1, /nonexistent/hook", "exit code 127 (is it there"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "echo the command runs", func(s *specs.Spec) { s.Hooks = &test.hooks })
			test.hooks.Poststop = hook("echo over > " + dir + "/over")
			write(t, dir, read(t, dir), func(s *specs.Spec) { s.Hooks = &test.hooks })
			checkRefusal(t, run(t, oci(dir)), 0, test.say)
			if text(t, dir+"/over") != "over" {
				t.Error("the poststop hook was not run")
			}
			if left := groupsNamed(t, "/"+filepath.Base(dir)); len(left) > 0 {
				t.Errorf("cgroups that nobody removed: %q", left)
			}
		})
	}
}

// TestPoststartThatFails stops the container and is an error; one that ends well does nothing to it.
func TestPoststartThatFails(t *testing.T) {
	witness.Need(t, "root")
	dir := newBundle(t, "while :; do sleep 0.05; done", func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststart: slices.Concat(hook("exit 0"), hook("echo no; exit 4"), hook("exit 5"))}
	})
	checkRefusal(t, run(t, oci(dir)), 0, []string{"poststart hook 2", "exit code 4", `"no"`})
}

// TestPoststopThatFails has no effect on the exit code, nor on the hooks that follow.
func TestPoststopThatFails(t *testing.T) {
	witness.Need(t, "root")
	dir := newBundle(t, "exit 6")
	write(t, dir, read(t, dir), func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: slices.Concat(hook("exit 4"), hook("echo yes > "+dir+"/second"))}
	})
	if got := run(t, oci(dir)); got.code != 6 {
		t.Errorf("%+v", got)
	}
	if text(t, dir+"/second") != "yes" {
		t.Error("the second hook did not run")
	}
}

// TestStartContainerRights looks at the rights of a startContainer hook, whose program is one of the image: they are those
// of the command, also where a filter makes the meeting come before they go.
func TestStartContainerRights(t *testing.T) {
	witness.Need(t, "root")
	filter := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno},
	}}
	const look = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; id; umask; mkdir /tmp/x 2>&1"
	for name, rights := range map[string]change{
		"no filter":               func(s *specs.Spec) { s.Process.NoNewPrivileges = true },
		"filter":                  func(s *specs.Spec) { s.Process.NoNewPrivileges, s.Linux.Seccomp = false, filter },
		"filter and no_new_privs": func(s *specs.Spec) { s.Process.NoNewPrivileges, s.Linux.Seccomp = true, filter },
		"filter for another user ": func(s *specs.Spec) {
			s.Process.NoNewPrivileges, s.Linux.Seccomp = false, filter
			s.Process.User.UID = 1000
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, look+"; true", rights, func(s *specs.Spec) {
				s.Root.Readonly, s.Process.User.Umask = false, new(uint32(0o022))
				s.Hooks = &specs.Hooks{StartContainer: hook("{ " + look + "; } > /data/hook; rm -rf /tmp/x")}
			})
			if err := errors.Join(os.Chmod(dir+"/rootfs/data", 0o777), os.Chmod(dir+"/rootfs/tmp", 0o777)); err != nil {
				t.Fatal(err)
			}
			got := run(t, oci(dir))
			if hooked := text(t, dir+"/rootfs/data/hook"); got.code != 0 || hooked != strings.TrimSuffix(got.out, "\n") || !strings.Contains(hooked, "CapEff") {
				t.Errorf("the hook sees\n%s\nthe command sees\n%+v", hooked, got)
			}
		})
	}
}

// TestHooksOfCreateAndStart has the hooks of the start wait for it, and tells the starter of one that fails.
func TestHooksOfCreateAndStart(t *testing.T) {
	witness.Need(t, "root")
	for name, test := range map[string]struct {
		script, say string
		code        int
	}{
		"good": {"echo startContainer > /data/hook", "", 0},
		"bad":  {"echo startContainer > /data/hook; exit 3", "startContainer hook 1, /bin/sh: sh -c", 1},
	} {
		t.Run(name, func(t *testing.T) {
			root := folder(t)
			dir := newBundle(t, "while :; do sleep 0.05; done", func(s *specs.Spec) {
				s.Root.Readonly = false
				s.Hooks = &specs.Hooks{StartContainer: hook(test.script)}
			})
			id := filepath.Base(dir)
			in := func(args ...string) result {
				return run(t, exec.Command(staveOCI, append([]string{"--root", root}, args...)...))
			}
			t.Cleanup(func() { in("delete", "--force", id) })
			create := exec.Command(staveOCI, "--root", root, "create", "--bundle", dir, id)
			if err := create.Run(); err != nil { // its streams are the container's too: none of ours, or we would wait for it
				t.Fatal(err)
			}
			if _, err := os.Stat(dir + "/rootfs/data/hook"); err == nil {
				t.Error("the hook has run before the start")
			}
			if got := in("start", id); got.code != test.code || !strings.Contains(got.err, test.say) || test.code != 0 && !strings.Contains(got.err, "exit code 3") {
				t.Errorf("start: %+v", got)
			}
			if text(t, dir+"/rootfs/data/hook") != "startContainer" {
				t.Error("the hook has not run")
			}
			if test.code == 0 {
				put(t, dir+"/rootfs/data/hook", "once", 0o644)
				if got := in("exec", id, "cat", "/data/hook"); got.out != "once" {
					t.Errorf("a process that joined ran the hooks again, or not at all: %+v", got)
				}
			}
		})
	}
}
