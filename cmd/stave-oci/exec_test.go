// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// sleeper starts a container that sleeps.
func sleeper(t *testing.T, changes ...change) kept {
	t.Helper()
	k := create(t, newBundle(t, "exec sleep 1000", changes...))
	must(t, "start", k.id)
	witness.Until(t, "the command runs", func() bool { return program(k.pid) == "busybox" })
	return k
}

// inUserNamespace gives a container users of its own.
func inUserNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
}

// withOwnCgroupAndTime gives a container the kinds of namespace that the example lacks.
func withOwnCgroupAndTime(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1_000_000}}
}

// TestExecJoins runs a process in containers of several kinds, and compares its namespaces, cgroups and rights with those of
// the container's first.
func TestExecJoins(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, c := range map[string]change{
		"plain": func(*specs.Spec) {}, "user": inUserNamespace, "time": withOwnCgroupAndTime,
		"host's pids": without(specs.PIDNamespace), "host's network": without(specs.NetworkNamespace),
	} {
		t.Run(name, func(t *testing.T) {
			k := sleeper(t, c)
			detached := filepath.Join(k.bundle, "exec-pid")
			c := exec.Command(staveOCI, "--root", root, "exec", "--detach", "--pid-file", detached, k.id, "sleep", "1000")
			if err := c.Run(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(detached)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(standing(t, k.pid), standing(t, pid)); diff != "" {
				t.Errorf("-first +joined:\n%s", diff)
			}
			if pids := members(t, k.id); !slices.Contains(pids, pid) {
				t.Errorf("the cgroup holds %v, and not %d", pids, pid)
			}
		})
	}
}

// standing is what two processes of one container have in common.
func standing(t *testing.T, pid int) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			t.Fatal(err)
		}
		m[kind] = link
	}
	for _, file := range []string{"cgroup", "limits", "uid_map", "setgroups", "oom_score_adj"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			t.Fatal(err)
		}
		m[file] = string(text)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(name, "Cap") || slices.Contains([]string{"Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Umask", "SigIgn", "SigBlk"}, name) {
			m[name] = value
		}
	}
	return m
}

// TestExecOptions runs processes with each of the options, and looks at what they see of themselves.
func TestExecOptions(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t, func(s *specs.Spec) { s.Process.NoNewPrivileges = false })
	for name, c := range map[string]struct {
		options []string
		script  string
		want    string
		code    int
	}{
		"exit code":   {nil, "exit 9", "", 9},
		"signal":      {nil, "kill -TERM $$", "", 143},
		"user":        {[]string{"--user", "7:8", "-g", "9", "--additional-gids", "10"}, "id -u; id -g; id -G", "7\n8\n8 9 10\n", 0},
		"cwd":         {[]string{"--cwd", "/tmp"}, "readlink /proc/self/cwd", "/tmp\n", 0},
		"env":         {[]string{"-e", "A=1", "--env", "B=2"}, `echo "$A $B"`, "1 2\n", 0},
		"cap":         {[]string{"--cap", "CAP_SYS_TIME"}, "grep CapEff /proc/self/status", "CapEff:\t0000000022000420\n", 0},
		"privileges":  {[]string{"--no-new-privs"}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1\n", 0},
		"none":        {nil, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0\n", 0},
		"descriptors": {nil, "ls /proc/self/fd | wc -l", "4\n", 0}, // 0, 1, 2 and that of the folder
	} {
		t.Run(name, func(t *testing.T) {
			got := do(t, slices.Concat([]string{"exec"}, c.options, []string{k.id, "sh", "-c", c.script})...)
			if got.out != c.want || got.code != c.code {
				t.Errorf("%q, exit code %d, want %q, %d: %s", got.out, got.code, c.want, c.code, got.err)
			}
		})
	}
}

// TestExecProcess runs a process that a file describes.
func TestExecProcess(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	data, err := json.Marshal(specs.Process{Args: []string{"sh", "-c", "id -u; echo $A; readlink /proc/self/cwd"}, Cwd: "/home", Env: []string{"PATH=/bin", "A=b"}, User: specs.User{UID: 5}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, k.bundle+"/process.json", string(data), 0o600)
	if got := do(t, "exec", "--process", k.bundle+"/process.json", k.id); got.out != "5\nb\n/home\n" || got.code != 0 {
		t.Errorf("%+v", got)
	}
}

// TestExecRefused asks for what can't be.
func TestExecRefused(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no command":      {[]string{k.id}, "takes the id of a container and a command", 1},
		"unknown":         {[]string{"unknown", "true"}, "container does not exist", 255},
		"command missing": {[]string{k.id, "nonexistent"}, "no such file or directory", 127},
		"not executable":  {[]string{k.id, "/etc/passwd"}, "permission denied", 126},
		"folder":          {[]string{"--cwd", "/nonexistent", k.id, "true"}, "enter the working directory /nonexistent: no such file or directory", 255},
		"relative folder": {[]string{"--cwd", "tmp", k.id, "true"}, "process.cwd", 255},
		"user":            {[]string{"--user", "root", k.id, "true"}, "--user", 255},
		"process":         {[]string{"--process", "/nonexistent", k.id}, "--process", 255},
		"label beside":    {[]string{"--process", "/nonexistent", "--process-label", "a:b:c:d", k.id}, "describes the whole process", 255},
		"user beside":     {[]string{"--process", "/nonexistent", "--user", "1", k.id}, "describes the whole process", 255},
		"command beside":  {[]string{"--process", "/nonexistent", k.id, "true"}, "describes the whole process", 255},
		"cgroup":          {[]string{"--cgroup", "nonexistent", k.id, "true"}, "nonexistent: no such file or directory", 255},
		"cgroup outside":  {[]string{"--cgroup", "../..", k.id, "true"}, "climbs out", 255},
	} {
		if got := do(t, append([]string{"exec"}, c.args...)...); got.code != c.code || !strings.Contains(got.err, c.want) {
			t.Errorf("%s: exit code %d, want %d: %s", name, got.code, c.code, got.err)
		}
	}
	must(t, "kill", k.id, "KILL")
	k.until(t, "stopped")
	if got := do(t, "exec", k.id, "true"); got.code != 255 || !strings.Contains(got.err, "container not running") {
		t.Errorf("stopped: %+v", got)
	}
}

// TestExecTerminal runs a process on a terminal: its own, of the container's /dev/pts.
func TestExecTerminal(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	c := exec.Command(staveOCI, "--root", root, "exec", "--tty", k.id, "sh", "-c", "readlink /proc/self/fd/0; stty size; exit 4")
	got := runOnTerminal(t, c, 21, 77)
	if want := "/dev/pts/0\r\n21 77\r\n"; got.out != want || got.code != 4 {
		t.Errorf("%q, exit code %d, want %q, 4", got.out, got.code, want)
	}
	put(t, k.bundle+"/process.json", `{"args":["readlink","/proc/self/fd/0"],"cwd":"/","env":["PATH=/bin"]}`, 0o600)
	got = runOnTerminal(t, exec.Command(staveOCI, "--root", root, "exec", "--tty", "--process", k.bundle+"/process.json", k.id), 21, 77)
	if want := "/dev/pts/0\r\n"; got.out != want || got.code != 0 {
		t.Errorf("by a file: %q, exit code %d, want %q", got.out, got.code, want)
	}
}

// TestExecCgroup runs a process in a cgroup below the container's.
func TestExecCgroup(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	version, mount := hierarchyOf(t, "pids")
	below := filepath.Join(mount, k.id, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	name := "pids:below"
	if version == 2 {
		name = "below"
	}
	c := exec.Command(staveOCI, "--root", root, "exec", "--detach", "--cgroup", name, k.id, "sleep", "1000")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(below + "/cgroup.procs")
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid == 0 || program(pid) != "busybox" {
		t.Errorf("the cgroup below holds %q, %v", text, err)
	}
}

// TestExecIsReaped runs many processes one after the other: none is left as a zombie, of stave-oci or of the container.
func TestExecIsReaped(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	for range 20 {
		if got := do(t, "exec", k.id, "sh", "-c", "true & exit 3"); got.code != 3 {
			t.Fatalf("%+v", got)
		}
	}
	if pids := members(t, k.id); len(pids) > 1 {
		for _, pid := range pids[1:] {
			if err := unix.Kill(pid, 0); err == nil && program(pid) != "" {
				t.Errorf("process %d, %s, is left", pid, program(pid))
			}
		}
	}
}
