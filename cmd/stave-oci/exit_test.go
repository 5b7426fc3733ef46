// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestExitCodes runs commands that end in all ways.
func TestExitCodes(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, test := range map[string]struct {
		args []string
		code int
		err  string // what standard error says
	}{
		"success":        {[]string{"true"}, 0, ""},
		"failure":        {[]string{"sh", "-c", "exit 42"}, 42, ""},
		"255":            {[]string{"sh", "-c", "exit 255"}, 255, ""},
		"127 of its own": {[]string{"sh", "-c", "nothing-of-the-kind"}, 127, "not found"},
		"killed":         {[]string{"sh", "-c", "sh -c 'kill -9 $$' 2>/dev/null; exit $?"}, 137, ""},
		"terminated":     {[]string{"sh", "-c", "sh -c 'kill -TERM $$' 2>/dev/null; exit $?"}, 143, ""},
		"not there":      {[]string{"nothing-of-the-kind"}, 127, `"nothing-of-the-kind"`},
		"path not there": {[]string{"/bin/nothing"}, 127, "is not in the root file system"},
		"below a file":   {[]string{"/bin/sh/x"}, 127, "/bin/sh/x"},
		"not executable": {[]string{"/etc/passwd"}, 126, "no execute permission"},
		"a folder":       {[]string{"/etc"}, 126, "is a folder"},
		"empty":          {[]string{""}, 127, `""`},
		"a script":       {[]string{"/bin/script"}, 0, ""},
		"of the path":    {[]string{"script"}, 0, ""},
		"no format":      {[]string{"/bin/empty"}, 126, "not in a format"},
		"interpreter":    {[]string{"/bin/lost"}, 127, "interpreter"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "", func(s *specs.Spec) { s.Process.Args = test.args })
			put(t, filepath.Join(dir, "rootfs/bin/empty"), "no program\n", 0o755)
			put(t, filepath.Join(dir, "rootfs/bin/lost"), "#!/no/interpreter\n", 0o755)
			got := run(t, oci(dir))
			if got.code != test.code {
				t.Errorf("exit code %d, want %d; standard error: %s", got.code, test.code, got.err)
			}
			if !strings.Contains(got.err, test.err) || test.err == "" && got.err != "" {
				t.Errorf("standard error is %q, and should say %q", got.err, test.err)
			}
		})
	}
}

// TestKilledByItself is a container without a PID namespace whose first process a signal ends: with
// one, the kernel does not let process 1 kill itself.
func TestKilledByItself(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV, unix.SIGHUP} {
		dir := newBundle(t, fmt.Sprintf("kill -%d $$", signal), without(specs.PIDNamespace))
		if got := run(t, oci(dir)); got.code != 128+int(signal) {
			t.Errorf("%v: exit code %d, want %d: %s", signal, got.code, 128+signal, got.err)
		}
	}
}

// TestStreams passes standard input through, and keeps output and errors apart.
func TestStreams(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	c := oci(newBundle(t, "cat; echo error >&2"))
	c.Stdin = strings.NewReader("typed\n")
	want := result{out: "typed\n", err: "error\n"}
	if diff := cmp.Diff(want, run(t, c), cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// started is a stave-oci whose container has said "ready".
type started struct {
	*exec.Cmd
	screen *screen
}

// startReady starts the container of a bundle and waits until it says that it is ready. What is left
// is killed when the test ends.
func startReady(t *testing.T, dir string, options ...string) started {
	t.Helper()
	c := oci(dir, options...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = c.Stdout
	in, err := c.StdinPipe() // held open, so that a container may wait for its end
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		c.Process.Kill()
	})
	s := started{c, newScreen(out)}
	s.screen.until(t, "ready")
	return s
}

// wait waits for the end, at most half a minute, and returns the exit code.
func (s started) wait(t *testing.T) int {
	t.Helper()
	alarm := time.AfterFunc(30*time.Second, func() { s.Process.Kill() })
	defer alarm.Stop()
	s.Wait()
	return code(s.Cmd)
}

// TestSignalsAreForwarded sends signals to stave-oci and looks whether process 1 of the container gets them.
func TestSignalsAreForwarded(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, signal := range map[string]unix.Signal{
		"HUP": unix.SIGHUP, "INT": unix.SIGINT, "QUIT": unix.SIGQUIT, "TERM": unix.SIGTERM,
		"USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2,
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "trap 'echo got "+name+"; exit 9' "+name+"; echo ready; while :; do sleep 0.05; done")
			c := startReady(t, dir)
			if err := c.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			c.screen.until(t, "got "+name)
			if got := c.wait(t); got != 9 {
				t.Errorf("exit code %d, want 9", got)
			}
		})
	}
}

// TestUnhandledSignalEnds sends a signal that the container's process has no handler for. Without a PID
// namespace it ends the process.
func TestUnhandledSignalEnds(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	c := startReady(t, newBundle(t, "echo ready; read x", without(specs.PIDNamespace)))
	c.Process.Signal(unix.SIGTERM)
	if got := c.wait(t); got != 128+int(unix.SIGTERM) {
		t.Errorf("exit code %d, want %d", got, 128+unix.SIGTERM)
	}
}

// TestOrphans leaves processes behind in a container without a PID namespace: those that end are
// collected while the container runs, the others are killed when it ends.
func TestOrphans(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	const script = `(true & exec true) ; (sh -c 'sleep 1000 & echo sleeper $!; echo ready') ; read x`
	dir := newBundle(t, script, without(specs.PIDNamespace))
	c := startReady(t, dir)
	_, after, _ := strings.Cut(c.screen.String(), "sleeper ")
	sleeper, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "the orphan belongs to stave-oci, and no child of it is a zombie", func() bool {
		children := childrenOf(c.Process.Pid)
		return children[sleeper] == "S" && !strings.Contains(strings.Join(states(children), ""), "Z")
	})
	unix.Kill(c.Process.Pid, unix.SIGHUP) // ends the shell, which has no handler
	if got := c.wait(t); got != 129 {
		t.Errorf("exit code %d, want 129", got)
	}
	if unix.Kill(sleeper, 0) != unix.ESRCH {
		t.Errorf("process %d of the container outlives it", sleeper)
	}
}

// childrenOf returns the states of a process's children, by number (proc_pid_stat(5)).
func childrenOf(parent int) map[int]string {
	found := map[int]string{}
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		after := string(text[strings.LastIndex(string(text), ")")+1:])
		if f := strings.Fields(after); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			found[pid] = f[0]
		}
	}
	return found
}

// states returns the states alone.
func states(children map[int]string) []string {
	var all []string
	for _, s := range children {
		all = append(all, s)
	}
	return all
}

// TestPidFile reads the process's number while it runs.
func TestPidFile(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := newBundle(t, "echo ready; read x")
	file := filepath.Join(folder(t), "pid")
	c := startReady(t, dir, "--pid-file", file)
	var text []byte
	witness.Until(t, "there is a pid file", func() bool {
		text, _ = os.ReadFile(file)
		return len(text) > 0
	})
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || !strings.HasSuffix(root, "/bin/busybox") {
		t.Errorf("process %d of the pid file executes %q (%v)", pid, root, err)
	}
	if witness.Namespace(t, pid, "pid") == witness.Namespace(t, 0, "pid") {
		t.Errorf("process %d of the pid file is in the host's PID namespace", pid)
	}
	unix.Kill(pid, unix.SIGKILL)
	if got := c.wait(t); got != 137 {
		t.Errorf("exit code %d, want 137", got)
	}
}

// TestKilledDuringSetUp kills stave-oci at random moments. No process, mount or file may be left: the
// witness looks for those of the whole machine when the tests end, and this test for what lies in the bundle.
func TestKilledDuringSetUp(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for _, kind := range []string{"plain", "user namespace", "no PID namespace"} {
		t.Run(kind, func(t *testing.T) {
			changes := map[string][]change{
				"plain": {writable}, "user namespace": {writable, mapped}, "no PID namespace": {writable, without(specs.PIDNamespace)},
			}[kind]
			dir := newBundle(t, "read x", changes...)
			mounts, files := len(witness.Mounts(t, 0)), tree(t, dir)
			for range 40 {
				killSoon(t, dir)
			}
			if got := len(witness.Mounts(t, 0)); got != mounts {
				t.Errorf("%d mounts, there were %d", got, mounts)
			}
			if diff := cmp.Diff(files, tree(t, dir)); diff != "" {
				t.Errorf("files of the bundle, -before +after:\n%s", diff)
			}
		})
	}
}

// killSoon starts the container of a bundle, kills stave-oci within the time that set-up takes, and
// waits until nobody holds the container's standard input any more: then all its processes have ended.
func killSoon(t *testing.T, dir string) {
	t.Helper()
	c := oci(dir)
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	watched, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	c.Stdin, c.Stdout = theirs, held
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	held.Close()
	timer := time.NewTimer(time.Duration(rand.IntN(12_000)) * time.Microsecond)
	<-timer.C
	c.Process.Kill()
	c.Wait()
	ours.Close() // a command that runs already reads the end of its input, and ends
	watched.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, watched); err != nil {
		t.Fatalf("ten seconds after stave-oci was killed a process of its container lives: %v", err)
	}
}

// tree lists the files of a folder with their modes and sizes.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", "%P %M %s %l\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	return lines
}
