// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestOptions runs a script with one option each, and compares what the kernel shows to the script.
func TestOptions(t *testing.T) {
	witness.Need(t, "root")
	dir := folder(t)
	root := filepath.Join(dir, "rootfs")
	makeRoot(t, root)
	put(t, filepath.Join(dir, "file"), "of the host\n", 0o644)
	t.Setenv("FROM_HERE", "here, and there")
	const capabilities = `grep -E "Cap(Prm|Eff|Bnd)" /proc/$$/status | cut -f 2`
	mode := func(point string) string {
		return "cut -d ' ' -f 5,6 /proc/$$/mountinfo | grep '^" + point + " ' | cut -d ' ' -f 2 | cut -c 1-2"
	}
	for name, it := range map[string]struct {
		options      []string
		script, want string
	}{
		"host name":           {[]string{"--hostname", "mine"}, "cat /proc/sys/kernel/hostname; echo $HOSTNAME", "mine\nmine\n"},
		"variable":            {[]string{"-e", "A=b", "-e", "LIST= a,b ", "-e", "A=c"}, `echo "$A$LIST"`, "c a,b \n"},
		"variable from here":  {[]string{"-e", "FROM_HERE", "-e", "NOT_SET"}, `echo $FROM_HERE; env | grep -c NOT_SET`, "here, and there\n0\n"},
		"default environment": {nil, `echo $PATH $HOME; env | grep -c FROM_HERE`, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root\n0\n"},
		"folder":              {[]string{"-w", "/home"}, "readlink /proc/$$/cwd", "/home\n"},
		"user by name":        {[]string{"-u", "ann"}, "id -u; id -g; id -G; echo $HOME", "1000\n1001\n1001 50\n/home\n"},
		"user by number":      {[]string{"-u", "1234"}, "id -u; id -g; id -G", "1234\n0\n0\n"},
		"user and group":      {[]string{"-u", "ann:staff"}, "id -u; id -g; id -G", "1000\n50\n50\n"},
		"numbers of both":     {[]string{"-u", "7:8"}, "id -u; id -g; id -G", "7\n8\n8\n"},
		"writable":            {nil, "touch /new && ls /new; " + mode("/"), "/new\nrw\n"},
		"read-only":           {[]string{"--read-only"}, "touch /other 2>&1; " + mode("/"), "touch: /other: Read-only file system\nro\n"},
		"bind":                {[]string{"-v", dir + ":/host"}, "echo x >/host/made; cat /host/file; " + mode("/host"), "of the host\nrw\n"},
		"bind read-only":      {[]string{"-v", dir + ":/host:ro"}, "touch /host/x 2>&1; cat /host/file; " + mode("/host"), "touch: /host/x: Read-only file system\nof the host\nro\n"},
		"bind of a file":      {[]string{"-v", dir + "/file:/etc/group:ro"}, "cat /etc/group; " + mode("/etc/group"), "of the host\nro\n"},
		"bind with options":   {[]string{"-v", dir + ":/host:ro,noexec"}, "cut -d ' ' -f 5,6 /proc/$$/mountinfo | grep '^/host ro,.*noexec' | cut -c 1-8", "/host ro\n"},
		"default rights":      {nil, capabilities, strings.Repeat("00000000a80425fb\n", 3)},
		"a right more":        {[]string{"--cap-add", "SYS_TIME"}, capabilities, strings.Repeat("00000000aa0425fb\n", 3)},
		"a right less":        {[]string{"--cap-drop", "cap_chown"}, capabilities, strings.Repeat("00000000a80425fa\n", 3)},
		"no right":            {[]string{"--cap-drop", "ALL"}, capabilities, strings.Repeat("0000000000000000\n", 3)},
		"one right":           {[]string{"--cap-drop", "ALL", "--cap-add", "KILL"}, capabilities, strings.Repeat("0000000000000020\n", 3)},
		"rights of a user":    {[]string{"-u", "ann"}, capabilities, strings.Repeat("0000000000000000\n", 2) + "00000000a80425fb\n"},
		"terminal":            {[]string{"-t"}, "tty; readlink /proc/$$/fd/1", "/dev/pts/0\r\n/dev/pts/0\r\n"},
		"no terminal":         {nil, "tty", "not a tty\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, staveRun(slices.Concat(it.options, []string{"--rootfs", root, "sh", "-c", it.script})...))
			if got.out != it.want {
				t.Errorf("it shows %q, want %q; it says %q", got.out, it.want, got.err)
			}
		})
	}
	if data, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(data) != "x\n" {
		t.Errorf("the container's file on the host: %q, %v", data, err)
	}
}

// TestUserNamespaceOption looks at the container's root from both sides.
func TestUserNamespaceOption(t *testing.T) {
	witness.Need(t, "root")
	dir := folder(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	got := run(t, staveRun("--user-ns", "-v", dir+":/host", "lab", "sh", "-c", "touch /host/made; cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /etc/new; exit 6"))
	numbers := strings.Fields(got.out)
	if len(numbers) != 7 || numbers[0] != "0" || numbers[1] == "0" || numbers[6] != "0" || got.code != 6 {
		t.Fatalf("uid_map, gid_map and user: %q; exit code %d, %s", numbers, got.code, got.err)
	}
	info, err := os.Stat(filepath.Join(dir, "made"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); strconv.Itoa(int(owner.Uid)) != numbers[1] || strconv.Itoa(int(owner.Gid)) != numbers[4] {
		t.Errorf("a file of the container's root belongs to %d:%d, the maps are %q", owner.Uid, owner.Gid, numbers)
	}
}

// TestExitCodes runs commands that end in every way.
func TestExitCodes(t *testing.T) {
	witness.Need(t, "root")
	for name, it := range map[string]struct {
		command []string
		want    int
	}{
		"success":        {[]string{"true"}, 0},
		"its own":        {[]string{"sh", "-c", "exit 33"}, 33},
		"a signal":       {[]string{"sh", "-c", "sh -c 'kill -9 $$'"}, 137},
		"not there":      {[]string{"/missing"}, 127},
		"not in PATH":    {[]string{"missing"}, 127},
		"not a program":  {[]string{"/etc/passwd"}, 126},
		"a folder":       {[]string{"/etc"}, 126},
		"below a file":   {[]string{"/etc/passwd/x"}, 127},
		"out of its way": {[]string{"sh", "-c", "cat /missing"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, staveRun(append([]string{"lab"}, it.command...)...))
			if got.code != it.want {
				t.Errorf("exit code %d, want %d; it says %q", got.code, it.want, got.err)
			}
		})
	}
}

// TestMistakes makes mistakes on the command line: each is told in one line, and nothing runs.
func TestMistakes(t *testing.T) {
	witness.Need(t, "root")
	root := folder(t)
	makeRoot(t, root)
	for want, args := range map[string][]string{
		`no such image: "nope"`:                 {"run", "--pull", "never", "nope", "sh"},
		`run it as an ordinary user`:            {"run", "--user-ns", "nope", "sh"},
		`/missing/source is not there`:          {"run", "--rootfs", root, "-v", "/missing/source:/data", "true"},
		`user "bad"`:                            {"run", "--rootfs", root, "-u", "bad", "true"},
		`unknown capability "FLY"`:              {"run", "--rootfs", root, "--cap-add", "FLY", "true"},
		`target "data" is not an absolute path`: {"run", "--rootfs", root, "-v", "/tmp:data", "true"},
		`working folder "data" is not an`:       {"run", "--rootfs", root, "-w", "data", "true"},
		`"data" is the name of a volume`:        {"run", "--rootfs", root, "-v", "data:/data", "true"},
		`there is no option --bogus`:            {"run", "--bogus", "lab", "true"},
		`which image`:                           {"run"},
		`which command`:                         {"run", "--rootfs", root},
		`/missing/root`:                         {"run", "--rootfs", "/missing/root", "true"},
		`unknown command "bogus"`:               {"bogus"},
		`config.json is not there`:              {"run", "--bundle", root},
		`--bundle takes the command`:            {"run", "--bundle", root, "true"},
		`no arguments`:                          {"doctor", "x"},
	} {
		got := run(t, exec.Command(stave, args...))
		if got.code != 125 || got.out != "" || !strings.Contains(got.err, want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, %q; want 125 and one line with %q", args, got.code, got.out, got.err, want)
		}
	}
}

// TestInputComesThrough gives a container its input through a pipe.
func TestInputComesThrough(t *testing.T) {
	witness.Need(t, "root")
	c := staveRun("lab", "cat")
	text := strings.Repeat("a line of input\n", 100_000)
	c.Stdin = strings.NewReader(text)
	if got := run(t, c); got.out != text || got.code != 0 {
		t.Errorf("%d of %d bytes came back, exit code %d", len(got.out), len(text), got.code)
	}
}

// TestOrdinaryUser runs the built-in image as a user who is not root, with and without a home.
func TestOrdinaryUser(t *testing.T) {
	witness.Need(t, "root", "userns")
	home := folder(t)
	give(t, home, nobody)
	for name, it := range map[string]struct {
		env, left string
		code      int
	}{
		"HOME":          {"HOME=" + home, home + "/.local/share/stave", 0},
		"XDG_DATA_HOME": {"XDG_DATA_HOME=" + home + "/data", home + "/data/stave", 0},
		"STAVE_STATE":   {"STAVE_STATE=" + home + "/state", home + "/state", 0},
		"nothing":       {"A=b", "", 125},
	} {
		t.Run(name, func(t *testing.T) {
			c := as(nobody, staveRun("lab", "sh", "-c", "id -u; cat /proc/self/uid_map"))
			c.Env = []string{it.env}
			got := run(t, c)
			if it.code != 0 {
				if got.code != it.code || !strings.Contains(got.err, "XDG_DATA_HOME") || strings.Count(got.err, "\n") != 1 {
					t.Errorf("exit code %d, %q; want %d and one line that names XDG_DATA_HOME", got.code, got.err, it.code)
				}
				return
			}
			if f := strings.Fields(got.out); got.code != 0 || len(f) < 4 || f[0] != "0" || f[1] != "0" || f[2] != strconv.Itoa(nobody) {
				t.Errorf("exit code %d, user and map %q, it says %q", got.code, f, got.err)
			}
			if entries, err := os.ReadDir(it.left + "/containers"); err != nil || len(entries) > 0 {
				t.Errorf("the state folder holds %v, %v", entries, err)
			}
		})
	}
}

// TestSignalsArePassedOn sends signals to stave. The container's command is process 1 of its namespace,
// which a signal without a handler does not end (pid_namespaces(7)); so it is with docker run too.
func TestSignalsArePassedOn(t *testing.T) {
	witness.Need(t, "root")
	out, err := os.Create(filepath.Join(folder(t), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := staveRun("lab", "sh", "-c", "trap 'echo caught' USR1; echo ready; while true; do sleep 0.01; done")
	c.Stdout = out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wrote := func(text string) func() bool {
		return func() bool {
			data, err := os.ReadFile(out.Name())
			return err == nil && strings.Contains(string(data), text)
		}
	}
	witness.Until(t, "the command is ready", wrote("ready"))
	child := childOf(t, c.Process.Pid)
	err = errors.Join(c.Process.Signal(unix.SIGTERM), c.Process.Signal(unix.SIGUSR1))
	if err != nil {
		t.Error(err)
	}
	witness.Until(t, "the command has caught a signal", wrote("caught"))
	if err := unix.Kill(child, 0); err != nil {
		t.Errorf("SIGTERM without a handler has ended process 1: %v", err)
	}
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Error(err)
	}
	wait(t, c)
	if got := code(c); got != 137 {
		t.Errorf("exit code %d, want 137", got)
	}
}

// TestTermEndsACommandThatListens lets a command end itself at SIGTERM.
func TestTermEndsACommandThatListens(t *testing.T) {
	witness.Need(t, "root")
	p := sitDown(t, staveRun("lab", "sh", "-c", "trap 'exit 8' TERM; echo ready; while true; do sleep 0.01; done"))
	p.until("ready")
	if err := p.command.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if got := p.leave(); got != 8 {
		t.Errorf("exit code %d, want 8", got)
	}
}

// TestKilledStave kills stave: the container goes on, as one of runc does. Its folder stays as long as it
// runs; when it has ended, the next run removes it.
func TestKilledStave(t *testing.T) {
	witness.Need(t, "root")
	input, output, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	c := staveRun("lab", "cat")
	c.Stdin = input
	err = c.Start()
	input.Close()
	if err != nil {
		t.Fatal(err)
	}
	var child int
	witness.Until(t, "the command runs", func() bool {
		child = childOf(t, c.Process.Pid)
		name, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/comm")
		return err == nil && string(name) == "cat\n"
	})
	c.Process.Kill()
	wait(t, c)
	next := func() {
		if got := run(t, staveRun("lab", "true")); got.code != 0 {
			t.Errorf("the next run: %s", got.err)
		}
	}
	next()
	if left := statesLeft(t); len(left) != 1 || unix.Kill(child, 0) != nil {
		t.Errorf("the container runs: %v; folders: %q, want its own", unix.Kill(child, 0) == nil, left)
	}
	output.Close() // cat ends
	witness.Until(t, "the container has ended", func() bool {
		_, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/mountinfo")
		return err != nil
	})
	next()
	if left := statesLeft(t); len(left) != 0 {
		t.Errorf("folders that nobody removed: %q", left)
	}
}

// childOf is the only child of a process, 0 while there is none.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, _ := os.ReadFile(file) // the thread may have ended
		if f := strings.Fields(string(data)); len(f) > 0 {
			child, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatal(err)
			}
			return child
		}
	}
	return 0
}
