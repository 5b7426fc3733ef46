// SPDX-License-Identifier: Apache-2.0

package security

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

func TestMain(m *testing.M) {
	if os.Getenv(sayVariable) != "" {
		saySealed()
		return
	}
	witness.Main(m)
}

// output makes the descriptor in its slot the child's standard output.
type output struct{}

func (output) String() string { return "redirect the output" }
func (output) Shell() string  { return "" }
func (output) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_DUP3, kernel.FD("output"), kernel.Int(1), kernel.Int(0))
	a.Sys(unix.SYS_DUP3, kernel.FD("output"), kernel.Int(2), kernel.Int(0))
}

// run executes a shell script in a child after the calls, and returns what it printed and how it ended.
func run(t *testing.T, script string, calls ...kernel.Call) (string, unix.WaitStatus) {
	t.Helper()
	return runProgram(t, kernel.Program{Host: []kernel.Call{{Request: kernel.Clone{}}}, Container: append(calls, shell(script))})
}

// shell is the call that executes a shell script.
func shell(script string) kernel.Call {
	return kernel.Call{Request: kernel.Exec{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}}
}

// runProgram runs a program whose container side prints.
func runProgram(t *testing.T, p kernel.Program) (string, unix.WaitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p.Container = append([]kernel.Call{{Request: output{}}}, p.Container...)
	child, err := p.Start(kernel.Options{Slots: map[kernel.Slot]int{"output": int(w.Fd())}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	status, err := child.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(text), status
}

// fields reads the lines "Name:\tvalue" of /proc/PID/status.
func fields(status string, names ...string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		for _, want := range names {
			if name == want {
				found[name] = strings.Join(strings.Fields(value), " ")
			}
		}
	}
	return found
}

// setNames are the five sets and what else Credentials change, as /proc/PID/status names them.
var setNames = []string{"CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb", "Uid", "Gid", "Groups", "NoNewPrivs"}

// facts reads the facts of this machine.
func facts(t *testing.T) Facts {
	t.Helper()
	f, err := ReadFacts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// credentials are those of p on this machine.
func credentials(t *testing.T, p *specs.Process) Credentials {
	t.Helper()
	c, err := NewCredentials(p, facts(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentialsInAChild(t *testing.T) {
	witness.Need(t, "root")
	c := credentials(t, process(1000, 20, 10))
	text, _ := run(t, "cat /proc/self/status", append(c.Become(), c.Restrict()...)...)
	// The command is not root: of its permitted capabilities execve keeps the ambient one.
	want := map[string]string{
		"CapBnd": "00000000a80425fb", "CapPrm": "0000000000000020", "CapEff": "0000000000000020", "CapInh": "0000000000000021", "CapAmb": "0000000000000020",
		"Uid": "1000 1000 1000 1000", "Gid": "1000 1000 1000 1000", "Groups": "10 20", "NoNewPrivs": "0",
	}
	if diff := cmp.Diff(want, fields(text, setNames...)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPermittedBeforeExec looks at the sets before execve computes them anew: the child writes its own status out.
func TestPermittedBeforeExec(t *testing.T) {
	witness.Need(t, "root")
	c := credentials(t, process(1000))
	p := kernel.Program{Host: []kernel.Call{{Request: kernel.Clone{}}}, Container: append(append(c.Become(), c.Restrict()...), kernel.Call{Request: printStatus{}}, shell("true"))}
	text, _ := runProgram(t, p)
	want := map[string]string{"CapPrm": "00000000a80425fb", "CapEff": "00000000880425fb", "CapInh": "0000000000000021", "CapAmb": "0000000000000020"}
	if diff := cmp.Diff(want, fields(text, "CapPrm", "CapEff", "CapInh", "CapAmb")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// printStatus copies /proc/self/status to the output.
type printStatus struct{}

func (printStatus) String() string { return "print the status" }
func (printStatus) Shell() string  { return "" }
func (printStatus) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str("/proc/self/status"), kernel.Int(unix.O_RDONLY|unix.O_CLOEXEC)).Into("status")
	text := a.Reserve(4096)
	a.Sys(unix.SYS_READ, kernel.FD("status"), text, kernel.Int(4096)).Into("size")
	a.Sys(unix.SYS_WRITE, kernel.Int(1), text, kernel.FD("size"))
	a.Close("status")
}

func TestRootKeepsItsSets(t *testing.T) {
	witness.Need(t, "root")
	p := process(0)
	p.Capabilities.Effective, p.Capabilities.Inheritable, p.Capabilities.Ambient = p.Capabilities.Permitted, nil, nil
	c := credentials(t, p)
	text, _ := run(t, "cat /proc/self/status", append(c.Become(), c.Restrict()...)...)
	want := map[string]string{"CapBnd": "00000000a80425fb", "CapPrm": "00000000a80425fb", "CapEff": "00000000a80425fb", "CapInh": "0000000000000000", "CapAmb": "0000000000000000"}
	if diff := cmp.Diff(want, fields(text, "CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSetprivDoesTheSame compares the planned calls with the command that explain --shell prints.
func TestSetprivDoesTheSame(t *testing.T) {
	witness.Need(t, "root", "command:setpriv")
	for name, p := range map[string]*specs.Process{"user": process(1000, 10), "root": process(0), "nothing": {User: specs.User{UID: 5, GID: 6}}} {
		p.NoNewPrivileges = name != "user"
		c := credentials(t, p)
		calls := c.Become()
		if p.NoNewPrivileges {
			calls = append(calls, kernel.Call{Request: NoNewPrivileges{}})
		}
		text, _ := run(t, "cat /proc/self/status", append(calls, c.Restrict()...)...)
		args := append(c.Setpriv(), "cat", "/proc/self/status")
		shown, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, shown)
		}
		if diff := cmp.Diff(fields(string(shown), setNames...), fields(text, setNames...)); diff != "" {
			t.Errorf("%s: -setpriv +calls:\n%s", name, diff)
		}
	}
}

func TestLimitsUmaskScoreInAChild(t *testing.T) {
	limits, err := Limits([]specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 50, Hard: 60}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}})
	if err != nil {
		t.Fatal(err)
	}
	score, err := OOMScoreAdj(777)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := run(t, "ulimit -Sn; ulimit -Hn; ulimit -c; umask; cat /proc/self/oom_score_adj", append(limits, score, kernel.Call{Request: Umask{0o027}})...)
	if diff := cmp.Diff("50\n60\n0\n0027\n777\n", text); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestShellSetsTheSame runs what explain --shell prints.
func TestShellSetsTheSame(t *testing.T) {
	witness.Need(t, "command:prlimit")
	score, err := OOMScoreAdj(555)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Join([]string{SetLimit{unix.RLIMIT_NOFILE, 51, 61}.Shell(), Umask{0o70}.Shell(), score.Shell(), "ulimit -Sn; ulimit -Hn; umask; cat /proc/self/oom_score_adj"}, "\n")
	shown, err := exec.Command("/bin/sh", "-c", script).CombinedOutput()
	if diff := cmp.Diff("51\n61\n0070\n555\n", string(shown)); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestNonDumpable(t *testing.T) {
	witness.Need(t, "root")
	// Before execve the child's /proc/PID/exe is this test; a user of the same number must not get at it.
	look := func(calls ...kernel.Call) error {
		point := "looked at"
		open := &lookInside{}
		p := kernel.Program{
			Host:      []kernel.Call{{Request: kernel.Clone{}}, {Request: kernel.Await{Point: point}}, {Request: open}, {Request: kernel.Release{Point: point}}},
			Container: append(append(calls, kernel.Call{Request: kernel.Wait{Point: point}}), shell("true")),
		}
		runProgram(t, p)
		return open.err
	}
	c := credentials(t, &specs.Process{User: specs.User{UID: 65534, GID: 65534}})
	become := append(c.Become(), c.Restrict()...)
	dumpable := kernel.Call{Request: makeDumpable{}} // the change of user has made it non-dumpable as well
	if err := look(append(become, dumpable)...); err != nil {
		t.Errorf("a dumpable process can't be looked at: %v", err)
	}
	if err := look(append(become, dumpable, kernel.Call{Request: NonDumpable{}})...); err == nil {
		t.Error("a process of the same user can read /proc/PID/exe")
	}
}

// makeDumpable undoes NonDumpable.
type makeDumpable struct{}

func (makeDumpable) String() string { return "make it dumpable" }
func (makeDumpable) Shell() string  { return "" }
func (makeDumpable) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_PRCTL, kernel.Int(unix.PR_SET_DUMPABLE), kernel.Int(1), kernel.Int(0), kernel.Int(0), kernel.Int(0))
}

// lookInside reads /proc/PID/exe of the child as the user nobody.
type lookInside struct{ err error }

func (*lookInside) String() string             { return "look into the child" }
func (*lookInside) Shell() string              { return "" }
func (*lookInside) Assemble(*kernel.Assembler) {}
func (l *lookInside) Do(h *kernel.Host) error {
	l.err = exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "readlink", h.Expand("/proc/$pid/exe")).Run()
	return nil
}

// compile compiles a profile for this machine.
func compile(t *testing.T, p *specs.LinuxSeccomp) *Filter {
	t.Helper()
	witness.Need(t, "seccomp")
	f, err := Compile(p, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSeccompInAChild(t *testing.T) {
	dir := t.TempDir()
	filter := compile(t, &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno}}})
	text, _ := run(t, "mkdir "+dir+"/made; cat /proc/self/status", kernel.Call{Request: NoNewPrivileges{}}, kernel.Call{Request: Seccomp{filter}})
	if diff := cmp.Diff(map[string]string{"Seccomp": "2", "NoNewPrivs": "1"}, fields(text, "Seccomp", "NoNewPrivs")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !strings.Contains(text, "Operation not permitted") {
		t.Errorf("mkdir says %q", text)
	}
	if _, err := os.Stat(dir + "/made"); err == nil {
		t.Error("mkdir has worked")
	}
}

func TestSeccompKills(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActKillProcess}}}
	_, status := run(t, "exec mkdir /proc/none", kernel.Call{Request: NoNewPrivileges{}}, kernel.Call{Request: Seccomp{compile(t, p)}})
	if status.Signal() != unix.SIGSYS {
		t.Errorf("ended with %#x, want SIGSYS", status)
	}
}

// TestDockerProfileInAChild installs the filter with CAP_SYS_ADMIN and drops privileges under it.
func TestDockerProfileInAChild(t *testing.T) {
	witness.Need(t, "root", "command:unshare")
	c := credentials(t, process(0))
	calls := append([]kernel.Call{{Request: Seccomp{compile(t, docker(t))}}}, append(c.Become(), c.Restrict()...)...)
	text, status := run(t, "id -u; unshare --uts true; grep Seccomp: /proc/self/status; ls / >/dev/null && exit 4", calls...)
	if !strings.Contains(text, "unshare failed: Operation not permitted") || !strings.Contains(text, "Seccomp:\t2") || status.ExitStatus() != 4 {
		t.Errorf("exit %d:\n%s", status.ExitStatus(), text)
	}
}

// TestNotify lets a listening program decide about mkdir.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "listener")
	agent, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	filter := compile(t, &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: path, ListenerMetadata: "told",
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}},
	})
	answered := make(chan specs.ContainerProcessState, 1)
	go listen(t, agent, answered)
	over := filter.Notify(Listener{Path: path, Metadata: "told", State: specs.State{Version: "1.2.0", ID: "c1", Bundle: "/b"}})
	p := kernel.Program{
		Host:      append(append(over.Before, kernel.Call{Request: kernel.Clone{}}), over.After...),
		Container: append([]kernel.Call{{Request: NoNewPrivileges{}}, {Request: Seccomp{filter}}}, append(over.Inside, shell("echo $$; mkdir /none"))...),
	}
	text, _ := runProgram(t, p)
	pid, message, _ := strings.Cut(text, "\n")
	if !strings.Contains(message, "No space left on device") {
		t.Errorf("mkdir says %q, the listener answered ENOSPC", message)
	}
	got := <-answered
	n, _ := strconv.Atoi(pid)
	want := specs.ContainerProcessState{
		Version: "1.2.0", Fds: []string{"seccompFd"}, Pid: n, Metadata: "told",
		State: specs.State{Version: "1.2.0", ID: "c1", Status: specs.StateCreating, Pid: n, Bundle: "/b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
