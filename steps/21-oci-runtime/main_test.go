// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// waiting looks at the process of a created container. Nobody but root may look at more than its numbers, least of all a
// process in its namespaces.
func waiting(t *testing.T, r *running) {
	t.Helper()
	if session, err := unix.Getsid(r.pid); session != r.pid {
		t.Errorf("a created container is in session %d, want its own, %d: %v", session, r.pid, err)
	}
	var st unix.Stat_t // of a process that others may look into, the files are its user's
	if err := unix.Stat(fmt.Sprintf("/proc/%d/mem", r.pid), &st); err != nil || st.Uid != 0 {
		t.Errorf("the memory of a created container is user %d's, want root's: %v", st.Uid, err)
	}
	if comm := strings.TrimSpace(r.read(t, "comm")); comm != filepath.Base(step) {
		t.Errorf("the process of a created container is %s, want %s", comm, filepath.Base(step))
	}
}

// inside looks at more of it, as root.
func inside(t *testing.T, r *running, user bool) {
	t.Helper()
	if name := r.runs(); name != step {
		t.Errorf("the process of a created container executes %s, want %s", name, step)
	}
	kinds := []string{"mnt", "pid", "uts", "ipc", "net", "cgroup"}
	if user {
		kinds = append(kinds, "user")
	}
	for _, kind := range kinds {
		if witness.Namespace(t, r.pid, kind) == witness.Namespace(t, 0, kind) {
			t.Errorf("a created container is in the %s namespace of the test", kind)
		}
	}
	if !slices.ContainsFunc(witness.Mounts(t, r.pid), func(m witness.Mount) bool { return m.Point == "/proc" && m.Type == "proc" }) {
		t.Error("a created container has no /proc")
	}
}

// TestLife leads a container through its life, asks for what is not allowed at each stage, and looks at its process.
func TestLife(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			mounts := len(witness.Mounts(t, 0))
			r := u.create()
			if waiting(t, r); os.Geteuid() == 0 {
				inside(t, r, uid != 0)
			}
			u.is(specs.StateCreated, r.pid)
			u.must(1, "create", "x")
			u.must(1, "delete", "x")
			u.is(specs.StateCreated, r.pid)
			u.must(0, "start", "x")
			if name := r.runs(); name != "/bin/busybox" {
				t.Errorf("the process of a started container executes %s, want /bin/busybox", name)
			}
			if may := r.status(t, "CapEff"); may != "0000000000000420" {
				t.Errorf("the capabilities of the command are %s, want those of config.json, 420", may)
			}
			u.is(specs.StateRunning, r.pid)
			for verb, why := range map[string]string{"create": "file exists", "start": "only a created", "delete": "it is running"} {
				if output := u.must(1, verb, "x"); !strings.Contains(output, why) {
					t.Errorf("%s of a running container is refused, but not because %s: %s", verb, why, output)
				}
			}
			if u.is(specs.StateRunning, r.pid); r.runs() != "/bin/busybox" {
				t.Error("a refused command has ended the container's")
			}
			groups := r.cgroups(t)
			u.must(0, "kill", "x", "KILL")
			u.is(specs.StateStopped, 0)
			for _, refused := range []string{"create", "start", "kill"} {
				u.must(1, refused, "x")
			}
			u.must(0, "delete", "x")
			if kept := u.kept(); len(kept) > 0 {
				t.Errorf("%v is left", kept)
			}
			for _, group := range groups {
				if _, err := os.Stat(group); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", group, err)
				}
			}
			if uid == 0 && len(groups) == 0 {
				t.Error("the container had no cgroup")
			}
			if now := len(witness.Mounts(t, 0)); now != mounts {
				t.Errorf("the host has %d mounts, and had %d", now, mounts)
			}
			for _, refused := range []string{"state", "start", "kill", "delete"} {
				u.must(1, refused, "x")
			}
		})
	}
}

// TestSignal sends a signal that the command handles, before and after a start.
func TestSignal(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Args = []string{"sh", "-c", "trap 'exit 0' USR1; : >/tmp/ready; while :; do sleep 0.05; done"}
	u.write()
	r := u.create()
	u.must(0, "start", "x")
	witness.Until(t, "the command handles signals", func() bool {
		_, err := os.Stat(filepath.Join(u.config.Root.Path, "tmp", "ready"))
		return err == nil
	})
	u.must(0, "kill", "x", "SIGUSR1")
	witness.Until(t, "the command has ended", func() bool { return u.state().Status == specs.StateStopped })
	if name := r.runs(); name != "" {
		t.Errorf("the process of a stopped container executes %s", name)
	}
	u.must(1, "kill", "x", "NOSUCH")
	u.must(0, "delete", "x")
}

// TestForce deletes a container in each of its states with force.
func TestForce(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			u.must(0, "delete", "-force", "x")
			for _, before := range [][]string{nil, {"start"}, {"start", "kill"}} {
				r := u.create()
				for _, verb := range before {
					u.must(0, verb, "x")
				}
				u.must(0, "delete", "-force", "x")
				if name := r.runs(); name != "" || len(u.kept()) > 0 {
					t.Errorf("after %v and delete -force the process executes %q, and %v is kept", before, name, u.kept())
				}
			}
		})
	}
}

// TestRun runs commands to their ends, and looks whether they are kept then.
func TestRun(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			killed := specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActKillProcess}
			u.config.Linux.Seccomp.Syscalls = append(u.config.Linux.Seccomp.Syscalls, killed)
			for name, c := range map[string]struct {
				args []string
				code int
			}{
				"own code":       {[]string{"sh", "-c", "exit 3"}, 3},
				"signal":         {[]string{"mkdir", "/tmp/folder"}, 128 + int(unix.SIGSYS)}, // its own signals process 1 ignores
				"not there":      {[]string{"/nothing"}, 127},
				"not executable": {[]string{"/tmp"}, 126},
			} {
				u.config.Process.Args = c.args
				u.write()
				output, code := u.do("run", "x")
				if code != c.code || len(u.kept()) > 0 {
					t.Errorf("%s: exit code %d, want %d; kept %v\n%s", name, code, c.code, u.kept(), output)
				}
			}
		})
	}
}

// TestRunIsKept looks at a container that runs in the foreground from another command.
func TestRunIsKept(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Args = []string{"cat"}
	u.write()
	r := begin(t, u.command("run", "x"), "cat", false)
	u.is(specs.StateRunning, r.pid)
	u.must(1, "start", "x")
	if code := r.end(); code != 0 || len(u.kept()) > 0 {
		t.Errorf("exit code %d, kept %v", code, u.kept())
	}
}

// TestReplaced deletes a container that runs in the foreground, and makes another one with its name before the first one's
// starter can look: that must leave the other alone.
func TestReplaced(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Args = []string{"cat"}
	u.write()
	first := begin(t, u.command("run", "x"), "cat", false)
	if err := first.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	u.must(0, "delete", "-force", "x")
	second := u.create()
	if err := first.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code := first.end(); code != 128+9 {
		t.Errorf("exit code %d, want 137", code)
	}
	u.is(specs.StateCreated, second.pid)
}

// TestTaken names a cgroup in which another process is: it is refused, and the other lives on.
func TestTaken(t *testing.T) {
	u := newCaller(t, 0)
	other := newCaller(t, 0)
	u.config.Linux.CgroupsPath, other.config.Linux.CgroupsPath = "/stave-test-taken", "/stave-test-taken"
	u.write()
	other.write()
	r := u.create()
	if len(r.cgroups(t)) == 0 {
		t.Skip("needs cgroups: no hierarchy is mounted")
	}
	if output := other.must(1, "create", "x"); !strings.Contains(output, "has processes already") || len(other.kept()) > 0 {
		t.Errorf("kept %v: %s", other.kept(), output)
	}
	u.is(specs.StateCreated, r.pid)
}

// TestNotThere creates a container whose command is not there, and one whose command goes before the start.
func TestNotThere(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Args = []string{"/nothing"}
	u.write()
	u.must(1, "create", "x")
	if kept := u.kept(); len(kept) > 0 {
		t.Errorf("after create has failed %v is kept", kept)
	}
	u.config.Process.Args = []string{"/tmp/program"}
	u.write()
	program := filepath.Join(u.config.Root.Path, "tmp", "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	u.create()
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if output := u.must(1, "start", "x"); !strings.Contains(output, "execute /tmp/program: no such file") {
		t.Errorf("start does not name the call that failed: %s", output)
	}
	witness.Until(t, "the container has stopped", func() bool { return u.state().Status == specs.StateStopped })
	u.must(0, "delete", "x")
}

// TestKilledCreate kills create when the container's process is there and not noted, and then at any time.
func TestKilledCreate(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			fifo := filepath.Join(u.dir, "fifo") // who opens it waits for a reader
			if err := unix.Mkfifo(fifo, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(fifo, 0o666); err != nil {
				t.Fatal(err)
			}
			rounds := 12
			if testing.Short() {
				rounds = 3
			}
			for n := range rounds {
				cmd := u.command("create", "-pid-file", map[bool]string{true: fifo, false: "/dev/null"}[n == 0], "x")
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				witness.Until(t, "create has begun", func() bool { return len(u.kept()) > 0 })
				var groups []string
				if n == 0 {
					witness.Until(t, "the container's process is in its cgroup and waits", func() bool {
						r := running{pid: child(cmd.Process.Pid)}
						if r.pid > 0 {
							groups = r.cgroups(t)
						}
						return r.pid > 0 && (uid != 0 || len(groups) > 0)
					})
				}
				for range n % 4 * 200 { // at different times, on most machines
					unix.Getppid()
				}
				cmd.Process.Kill()
				cmd.Wait() // it was killed, or had ended well
				if s := u.state().Status; n == 0 && s != specs.StateStopped {
					t.Errorf("a container that was killed half made is %s", s)
				}
				u.must(1, "create", "x")
				u.must(0, "delete", "-force", "x")
				for _, left := range append(u.kept(), groups...) {
					if _, err := os.Stat(left); !os.IsNotExist(err) {
						t.Fatalf("%s is left: %v", left, err)
					}
				}
			}
			u.create()
		})
	}
}

// TestOneAfterTheOther deletes a container that is just being made: that waits until it is made, and is then refused.
func TestOneAfterTheOther(t *testing.T) {
	u := newCaller(t, 0)
	fifo := filepath.Join(u.dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	create, remove := u.command("create", "-pid-file", fifo, "x"), u.command("delete", "x")
	if err := create.Start(); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "create has begun", func() bool { return len(u.kept()) > 0 })
	if err := remove.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() {
		remove.Wait() // the code tells
		close(ended)
	}()
	witness.Until(t, "delete waits for a lock", func() bool {
		select {
		case <-ended:
			t.Fatal("delete did not wait for create")
		default:
		}
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		waits := func(line string) bool { // 2: -> POSIX  ADVISORY  WRITE 1204 fe:00:7 0 EOF
			fields := strings.Fields(line)
			return len(fields) > 5 && fields[1] == "->" && fields[5] == strconv.Itoa(remove.Process.Pid)
		}
		return slices.ContainsFunc(strings.Split(string(locks), "\n"), waits)
	})
	if _, err := os.ReadFile(fifo); err != nil { // create goes on
		t.Fatal(err)
	}
	if err := create.Wait(); err != nil {
		t.Error(err)
	}
	if <-ended; remove.ProcessState.ExitCode() != 1 || u.state().Status != specs.StateCreated {
		t.Errorf("delete ended with %d, and the state is %+v", remove.ProcessState.ExitCode(), u.state())
	}
}

// TestDisplaced starts the runtime's own program inside its container, by the only name that leads there: it does nothing.
func TestDisplaced(t *testing.T) {
	u := newCaller(t, 0)
	u.config.Process.Args = []string{"/proc/self/exe", "bundle", "/tmp/made"}
	u.write()
	u.must(1, "run", "x")
	if made, _ := filepath.Glob(filepath.Join(u.config.Root.Path, "tmp", "*")); len(made) > 0 {
		t.Errorf("the runtime has made %v for the container", made)
	}
}

// TestAtOnce creates a container by several commands at once: one of them gets the name.
func TestAtOnce(t *testing.T) {
	u := newCaller(t, 0)
	codes := make(chan int)
	for range 4 {
		cmd := u.command("create", "x")
		go func() {
			cmd.Run() // the code tells
			codes <- cmd.ProcessState.ExitCode()
		}()
	}
	made := 0
	for range 4 {
		if <-codes == 0 {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d of four commands have created the container, want 1", made)
	}
	u.must(0, "start", "x")
}

// TestOther exchanges the noted process by another one with the same number: it is not the container's.
func TestOther(t *testing.T) {
	u := newCaller(t, 0)
	u.create()
	other := exec.Command("cat")
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	noted := filepath.Join(u.dir, "kept", "x", pidName)
	before, err := os.ReadFile(noted)
	if err == nil {
		_, began, _ := strings.Cut(string(before), " ")
		err = os.WriteFile(noted, fmt.Append(nil, other.Process.Pid, " 1", began), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	u.is(specs.StateStopped, 0)
	u.must(1, "kill", "x", "KILL")
	input.Close()
	if err := other.Wait(); err != nil {
		t.Errorf("the other process: %v", err)
	}
	u.must(0, "delete", "x") // the cgroup still has the container's
}

// TestAlone runs the step without a command, and with nothing but -explain.
func TestAlone(t *testing.T) {
	for need, uid := range users() {
		t.Run(need, func(t *testing.T) {
			u := newCaller(t, uid)
			for _, args := range [][]string{nil, {"-explain"}} {
				if output, code := finish(t, u.as(exec.Command(step, args...))); code != 0 || output == "" {
					t.Errorf("%v: exit code %d, output %q", args, code, output)
				}
			}
			for verb, code := range map[string]int{"create": 0, "run": 0, "state": 1} {
				u.must(code, "-explain", verb, "x")
			}
			if _, err := os.Stat(filepath.Join(u.dir, "kept")); !os.IsNotExist(err) {
				t.Errorf("-explain has made a folder: %v", err)
			}
		})
	}
}
