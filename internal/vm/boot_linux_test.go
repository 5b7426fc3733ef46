// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestMain lets the witness look for what a launcher leaves behind.
func TestMain(m *testing.M) {
	witness.Main(m)
}

// machine is a command line that runs what is added to it in a machine: the launcher of the Makefile, from an
// environment variable that only the tier vm sets.
func machine(t *testing.T, variable string, more ...string) *exec.Cmd {
	t.Helper()
	words := strings.Fields(os.Getenv(variable))
	if len(words) == 0 {
		t.Skip("needs vm: run make vm")
	}
	return exec.Command(words[0], append(words[1:], more...)...)
}

// boot runs a machine and returns its exit code and what it said.
func boot(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// TestBoot looks around in a machine: its cgroups, its files, and what of them is seen outside.
func TestBoot(t *testing.T) {
	outside, shared := t.TempDir(), t.TempDir()
	script := `
cat /proc/self/cgroup /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/cgroup.subtree_control
grep -c ' - cgroup ' /proc/self/mountinfo
stat -f -c '%T %n' / $TMPDIR /run
touch ` + outside + `/inside && test -d ` + outside + ` && echo written
echo kept >` + shared + `/file
nproc; cat /sys/class/net/lo/flags; pwd; echo $STAVE_SAYS
echo "mode: set" >${0#*=}
echo aside >&2
exit 3`
	profile := filepath.Join(t.TempDir(), "profile")
	cmd := machine(t, "STAVE_VM", "-share", shared, "-cpus", "3", "sh", "-c", script, "-test.coverprofile="+profile)
	cmd.Dir, cmd.Env = outside, append(os.Environ(), "STAVE_SAYS=word")
	code, out, said := boot(t, cmd)
	want := fmt.Sprintf(`0::/
cpuset cpu io memory hugetlb pids rdma misc
cpuset cpu io memory hugetlb pids rdma misc
0
overlayfs /
ext2/ext3 /scratch/tmp
tmpfs /run
written
3
0x9
%s
word
aside
`, outside)
	if code != 3 || out != want || said != "" {
		t.Errorf("exit code %d, want 3; stderr %q; got\n%s\nwant\n%s", code, said, out, want)
	}
	if _, err := os.Stat(outside + "/inside"); err == nil {
		t.Error("what was written inside is there outside")
	}
	for name, text := range map[string]string{shared + "/file": "kept\n", profile: "mode: set\n"} {
		if got, err := os.ReadFile(name); string(got) != text || err != nil {
			t.Errorf("%s: %q, want %q; %v", name, got, text, err)
		}
	}
}

// TestTrouble sees each way to go wrong under its own name.
func TestTrouble(t *testing.T) {
	cases := map[string]struct {
		args, script string
		code         int
		says         []string
		never        string
	}{
		"signal":            {script: "kill -TERM $$", code: 128 + 15, never: "vm:"},
		"panic":             {script: "echo c >/proc/sysrq-trigger; sleep 1000", code: failed, says: []string{"the kernel panicked while the command ran", "console: ", "sysrq"}, never: "once more"},
		"end without words": {script: "echo b >/proc/sysrq-trigger; sleep 1000", code: failed, says: []string{"died without an exit status while the command ran"}, never: "once more"},
		"hanging boot":      {args: "-boot 200ms", script: "true", code: failed, says: []string{"the boot hung: stopped after 200ms before the command started", "trying once more"}},
		"hanging test":      {args: "-timeout 1s", script: "echo begun; sleep 1000", code: failed, says: []string{"the time was over: stopped after 1s while"}, never: "once more"},
		"broken machine":    {args: "-memory 1X", script: "true", code: failed, says: []string{"QEMU: ", "exit code 1", "once more"}},
		"no such folder":    {args: "-kernel /nowhere", script: "true", code: failed, says: []string{"no kernel and modules in /nowhere"}, never: "once more"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(c.args), "sh", "-c", c.script)
			code, _, said := boot(t, machine(t, "STAVE_VM", args...))
			for _, word := range c.says {
				if !strings.Contains(said, word) {
					t.Errorf("no %q", word)
				}
			}
			if code != c.code || (c.never != "" && strings.Contains(said, c.never)) || t.Failed() {
				t.Errorf("exit code %d, want %d; stderr, which should not have %q:\n%s", code, c.code, c.never, said)
			}
		})
	}
}

// TestKilledLauncher ends a launcher in two ways, and looks for its QEMU.
func TestKilledLauncher(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		cmd := machine(t, "STAVE_VM", "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var emulated int
		witness.Until(t, "the launcher has started QEMU", func() bool {
			emulated = child(t, cmd.Process.Pid, emulator)
			return emulated != 0
		})
		if err := cmd.Process.Signal(signal); err != nil {
			t.Error(err)
		}
		cmd.Wait() // the signal ended it, or it says so by its exit code
		witness.Until(t, "QEMU has ended", func() bool { return !runs(emulated) })
	}
}

// child is the process id of a child that runs a program, or 0.
func child(t *testing.T, parent int, program string) int {
	t.Helper()
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, name := range names {
		list, _ := os.ReadFile(name)
		for pid := range strings.FieldsSeq(string(list)) {
			if target, _ := os.Readlink("/proc/" + pid + "/exe"); filepath.Base(target) == program {
				number, err := strconv.Atoi(pid)
				if err != nil {
					t.Fatal(err)
				}
				return number
			}
		}
	}
	return 0
}

// runs says whether a process is there and has not ended.
func runs(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "State:\tZ") && !strings.Contains(string(status), "State:\tX")
}

// TestSystemd runs a command as a service of root and in the manager of a user: each owns the groups below its own.
func TestSystemd(t *testing.T) {
	const script = `
id -un; cat /proc/1/comm /proc/self/cgroup
own=/sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)
cat $own/cgroup.controllers
mkdir $own/leaf && echo 0 >$own/leaf/cgroup.procs && echo +memory >$own/cgroup.subtree_control && ls $own/leaf/memory.max
echo '$HOME' "$$" | grep -c 'HOME [0-9]'
grep -c ' - cgroup ' /proc/self/mountinfo
exit 4`
	const ofRoot = "/system.slice/stave-command.service"
	const ofUser = "/user.slice/user-1000.slice/user@1000.service/app.slice/stave-command.service"
	cases := map[string]struct{ user, name, group, controllers string }{
		"root": {"", "root", ofRoot, "cpuset cpu io memory pids"},
		"user": {"tester", "tester", ofUser, "cpuset cpu io memory pids"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := machine(t, "STAVE_VM_SYSTEMD", "-user", c.user, "sh", "-c", script)
			code, out, said := boot(t, cmd)
			want := fmt.Sprintf("%s\nsystemd\n0::%s\n%s\n/sys/fs/cgroup%s/leaf/memory.max\n1\n0\n", c.name, c.group, c.controllers, c.group)
			if code != 4 || out != want {
				t.Errorf("exit code %d, want 4; got\n%s\nwant\n%s\nstderr %s", code, out, want, said)
			}
		})
	}
}
