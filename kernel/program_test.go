// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// raw is a request for one system call, for tests.
type raw struct {
	name string
	add  func(a *Assembler)
}

func (r raw) String() string        { return r.name }
func (r raw) Shell() string         { return "" }
func (r raw) Assemble(a *Assembler) { r.add(a) }

// call wraps an assembling function.
func call(name string, add func(a *Assembler)) Call { return Call{Request: raw{name, add}} }

// shell is the call that executes a shell script.
func shell(script string, env ...string) Call {
	return Call{Request: Exec{Args: []string{"/bin/sh", "-c", script}, Env: env}}
}

// clone is the call that forks without new namespaces.
func clone(flags uintptr) Call { return Call{Request: Clone{Flags: flags}} }

// nop is the cheapest call there is.
func nop() Call { return call("nothing", func(a *Assembler) { a.Sys(unix.SYS_GETPID) }) }

// exitCode runs the program and returns its command's exit code.
func exitCode(t testing.TB, p Program, o Options) int {
	t.Helper()
	process, err := p.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	status, err := process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return status.ExitStatus()
}

func TestExitCode(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{shell("exit 3")}}
	if code := exitCode(t, p, Options{}); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
}

func TestOneAndTenThousandCalls(t *testing.T) {
	for _, n := range []int{0, 1, 10_000} {
		var list []Call
		for range n {
			list = append(list, nop())
		}
		p := Program{Host: []Call{clone(0)}, Container: append(list, shell("exit 4"))}
		if code := exitCode(t, p, Options{}); code != 4 {
			t.Errorf("%d calls: exit code %d, want 4", n, code)
		}
	}
}

func TestErrorNamesTheCall(t *testing.T) {
	bad := call("mount mqueue on /dev/mqueue", func(a *Assembler) {
		a.Sys(unix.SYS_MOUNT, Str("mqueue"), Str("/nonexistent"), Str("mqueue"), Int(0), Int(0))
	})
	p := Program{Host: []Call{clone(0)}, Container: []Call{nop(), bad, nop(), shell("exit 0")}}
	_, err := p.Start(Options{})
	var ce *CallError
	if !errors.As(err, &ce) {
		t.Fatalf("error %v is no CallError", err)
	}
	if ce.Side != ContainerSide || ce.Index != 2 || ce.Count != 4 {
		t.Errorf("got %s %d of %d", ce.Side, ce.Index, ce.Count)
	}
	if !strings.HasPrefix(err.Error(), "container call 2 of 4: mount mqueue on /dev/mqueue: ") {
		t.Errorf("error is %q", err)
	}
}

func TestHostErrorUndoes(t *testing.T) {
	dir := t.TempDir() + "/made"
	fails := Call{Request: WriteFile{Path: "/nonexistent/file", Data: "x"}}
	p := Program{Host: []Call{{Request: undoable{dir}}, clone(0), fails}, Container: []Call{shell("exec sleep 100")}}
	_, err := p.Start(Options{})
	if !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), `host call 3 of 3: write "x" to /nonexistent/file: `) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("folder was not undone: %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
}

// undoable makes a folder and takes it back.
type undoable struct{ dir string }

func (u undoable) String() string      { return "mkdir " + u.dir }
func (u undoable) Shell() string       { return "mkdir " + u.dir }
func (u undoable) Assemble(*Assembler) {}
func (u undoable) Do(*Host) error      { return os.Mkdir(u.dir, 0o755) }
func (u undoable) Undo(*Host) error    { return os.Remove(u.dir) }

func TestIgnore(t *testing.T) {
	missing := func(a *Assembler) {
		a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str("/nonexistent"), Int(0), Int(0))
		a.Sys(unix.SYS_EXIT_GROUP, Int(9)) // must not be reached
	}
	ignored := call("open what is not there", missing)
	ignored.Ignore = []unix.Errno{unix.ENOENT}
	row := call("ignored row", func(a *Assembler) {
		a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str("/nonexistent"), Int(0), Int(0)).Ignore(unix.ENOENT)
	})
	p := Program{Host: []Call{clone(0)}, Container: []Call{ignored, row, shell("exit 5")}}
	if code := exitCode(t, p, Options{}); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
}

// TestWhen checks that the body runs after success alone, and that its own errors are not passed over.
func TestWhen(t *testing.T) {
	open := func(a *Assembler, path string) *Op {
		return a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str(path), Int(unix.O_PATH|unix.O_CLOEXEC), Int(0))
	}
	for name, c := range map[string]struct {
		path, inside string
		want         unix.Errno
	}{
		"there":              {"/etc", "/etc", 0},
		"not there":          {"/nonexistent", "/nonexistent/body", 0},
		"there, body misses": {"/etc", "/nonexistent", unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			p := Program{Host: []Call{clone(0)}, Container: []Call{
				call("when", func(a *Assembler) {
					a.When(open(a, c.path).Ignore(unix.ENOENT), func() { open(a, c.inside) })
				}), nop(), shell("exit 6"),
			}}
			process, err := p.Start(Options{})
			if c.want != 0 {
				if !errors.Is(err, c.want) {
					t.Errorf("error is %v, want %v", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := process.Wait(); status.ExitStatus() != 6 {
				t.Errorf("exit code %d, want 6", status.ExitStatus())
			}
		})
	}
}

// TestEither checks that one of the two bodies runs, and only that one.
func TestEither(t *testing.T) {
	for path, want := range map[string]int{"/etc": 7, "/nonexistent": 8} {
		p := Program{Host: []Call{clone(0)}, Container: []Call{
			call("either", func(a *Assembler) {
				opened := a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str(path), Int(unix.O_PATH|unix.O_CLOEXEC), Int(0))
				a.Either(opened.Ignore(unix.ENOENT),
					func() { a.Exec([]string{"/bin/sh"}, []string{"sh", "-c", "exit 7"}, nil) },
					func() { a.Exec([]string{"/bin/sh"}, []string{"sh", "-c", "exit 8"}, nil) })
			}), shell("exit 9"),
		}}
		if code := exitCode(t, p, Options{}); code != want {
			t.Errorf("%s: exit code %d, want %d", path, code, want)
		}
	}
	both := 0
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("goes on", func(a *Assembler) {
			a.Either(a.Sys(unix.SYS_GETPID), func() { both++; a.Sys(unix.SYS_GETPID) }, func() { both++; a.Sys(unix.SYS_EXIT_GROUP, Int(9)) })
		}), shell("exit 6"),
	}}
	if code := exitCode(t, p, Options{}); code != 6 || both != 2 {
		t.Errorf("exit code %d, want 6; %d bodies assembled", code, both)
	}
}

func TestRegistersPathsAndStructs(t *testing.T) {
	// Open /etc, then read the link of its descriptor through /proc/self/fd, then exec a shell whose
	// standard input is a file opened below that descriptor.
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("open", func(a *Assembler) {
			a.Sys(unix.SYS_OPENAT, Int(unix.AT_FDCWD), Str("/etc"), Int(unix.O_PATH|unix.O_CLOEXEC), Int(0)).Into("dir")
			got := a.Reserve(16)
			a.Sys(unix.SYS_READLINKAT, Int(unix.AT_FDCWD), FDPath("dir"), got, Int(16))
			a.Same(got, Bytes([]byte("/etc")), 4, unix.EBADMSG)
			a.Differ(got, Bytes([]byte("/usr")), 4, unix.EBADMSG)
		}),
		call("use", func(a *Assembler) {
			a.Sys(unix.SYS_OPENAT, FD("dir"), Str("passwd"), Int(unix.O_CLOEXEC), Int(0)).Into("file")
			a.Sys(unix.SYS_DUP3, FD("file"), Int(0), Int(0))
		}),
		shell(`read line; case $line in root:*) exit 6;; esac; exit 1`),
	}}
	if code := exitCode(t, p, Options{}); code != 6 {
		t.Errorf("exit code %d, want 6", code)
	}
}

func TestSameFails(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("compare", func(a *Assembler) { a.Same(Str("x"), Str("y"), 1, unix.EXDEV) }), shell("exit 0"),
	}}
	if _, err := p.Start(Options{}); !errors.Is(err, unix.EXDEV) {
		t.Errorf("error is %v, want EXDEV", err)
	}
}

func TestWaitingPoints(t *testing.T) {
	file := t.TempDir() + "/written"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := Program{
		Host: []Call{
			clone(0),
			{Request: Await{"a file"}},
			{Request: WriteFile{file, "by $pid"}},
			{Request: Release{"a file"}},
			{Request: Await{"nothing"}},
			{Request: Release{"nothing"}},
		},
		Container: []Call{nop(), {Request: Wait{"a file"}}, {Request: Wait{"nothing"}}, shell("test -s " + file + " && exit 7")},
	}
	if code := exitCode(t, p, Options{}); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}

func TestUnmatchedWaitIsRefused(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: Wait{"x"}}, shell("exit 0")}}
	if _, err := p.Start(Options{}); err == nil {
		t.Error("a program that would hang was started")
	}
}

func TestStepStopsBeforeEachCall(t *testing.T) {
	p := Program{
		Host:      []Call{clone(0), {Request: Await{"p"}}, {Request: Release{"p"}}},
		Container: []Call{nop(), {Request: Wait{"p"}}, nop(), shell("exit 0")},
	}
	var seen []Step
	exitCode(t, p, Options{Step: func(s Step) error {
		seen = append(seen, s)
		return nil
	}})
	var order, got []string
	for _, s := range p.Steps() {
		order = append(order, s.String())
	}
	for _, s := range seen {
		got = append(got, s.String())
	}
	if diff := cmp.Diff(order, got); diff != "" || len(got) != 7 {
		t.Errorf("the order of the stops is not that of Steps, which -has, +got:\n%s", diff)
	}
}

func TestStepErrorKills(t *testing.T) {
	stop := errors.New("enough")
	p := Program{Host: []Call{clone(0)}, Container: []Call{nop(), shell("exit 0")}}
	_, err := p.Start(Options{Step: func(s Step) error {
		if s.Side == ContainerSide {
			return stop
		}
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
}

func TestDeathInSetUp(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("die", func(a *Assembler) { a.Sys(unix.SYS_KILL, Int(0), Int(0)); a.Sys(unix.SYS_EXIT_GROUP, Int(0)) }), shell("exit 0"),
	}}
	_, err := p.Start(Options{})
	if err == nil || !strings.Contains(err.Error(), "ended during its set-up with code 0") {
		t.Errorf("error is %v", err)
	}
}

func TestExecErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/plain", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/nonexistent:" + dir}
	for name, c := range map[string]struct {
		args []string
		want unix.Errno
	}{
		"missing":        {[]string{"/nonexistent"}, unix.ENOENT},
		"not on PATH":    {[]string{"nonexistent"}, unix.ENOENT},
		"not executable": {[]string{"plain"}, unix.EACCES},
		"a folder":       {[]string{"/etc"}, unix.EACCES},
		"empty":          {[]string{""}, unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: Exec{Args: c.args, Env: env}}}}
			if _, err := p.Start(Options{}); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestDescriptorsAboveTwoAreClosed(t *testing.T) {
	leak, err := unix.Open("/etc", unix.O_PATH, 0) // no O_CLOEXEC, on purpose
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: CloseDescriptors{}}, shell(`set -- /proc/self/fd/*; for f; do case $(readlink $f) in /etc) exit 1;; esac; done; exit 8`, "PATH=/bin:/usr/bin")}}
	if code := exitCode(t, p, Options{}); code != 8 {
		t.Errorf("exit code %d, want 8", code)
	}
}

func TestSignalsAreReset(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("ignore SIGTERM and block SIGUSR1", func(a *Assembler) {
			action := make([]byte, 32)
			action[0] = 1 // SIG_IGN
			a.Sys(unix.SYS_RT_SIGACTION, Int(int(unix.SIGTERM)), Bytes(action), Int(0), Int(8))
			a.Sys(unix.SYS_RT_SIGPROCMASK, Int(unix.SIG_BLOCK), Bytes([]byte{0, 2, 0, 0, 0, 0, 0, 0}), Int(0), Int(8))
		}),
		{Request: ResetSignals{}},
		shell(`while read k v; do case $k in SigIgn:|SigBlk:) [ $v = 0000000000000000 ] || exit 1;; esac; done </proc/$$/status; exit 9`),
	}}
	if code := exitCode(t, p, Options{}); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
}

func TestMoveOn(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{
		call("fork", func(a *Assembler) { a.MoveOn(0) }), nop(), shell("exit 10"),
	}}
	if code := exitCode(t, p, Options{}); code != 10 {
		t.Errorf("exit code %d, want 10", code)
	}
	if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
}

func TestAside(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		fails  bool
	}{"passes": {"exit 0", false}, "fails": {"exit 1", true}} {
		t.Run(name, func(t *testing.T) {
			p := Program{Host: []Call{clone(0)}, Container: []Call{
				call("hook", func(a *Assembler) {
					status := a.Reserve(8)
					a.Aside("hook", func() { a.Exec([]string{"/bin/sh"}, []string{"sh", "-c", c.script}, nil) })
					a.Sys(unix.SYS_WAIT4, FD("hook"), status, Int(0), Int(0))
					a.Same(status, a.Reserve(4), 4, unix.ECHILD)
				}), shell("exit 11"),
			}}
			process, err := p.Start(Options{})
			if c.fails {
				if !errors.Is(err, unix.ECHILD) {
					t.Fatalf("error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := process.Wait(); status.ExitStatus() != 11 {
				t.Errorf("exit code %d, want 11", status.ExitStatus())
			}
		})
	}
}

func TestParentDeath(t *testing.T) {
	p := Program{Host: []Call{clone(0)}, Container: []Call{{Request: ParentDeath{unix.SIGKILL}}, shell("exec sleep 10")}}
	started := make(chan *Process)
	var start func()
	start = func() {
		runtime.LockOSThread()              // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() { // but not the main thread, which the runtime keeps
			next := make(chan struct{})
			go func() { defer close(next); start() }()
			<-next
			runtime.UnlockOSThread()
			return
		}
		process, err := p.Start(Options{})
		if err != nil {
			t.Error(err)
		}
		started <- process
	}
	go start()
	process := <-started
	if process == nil {
		return
	}
	if status, err := process.Wait(); err != nil || status.Signal() != unix.SIGKILL {
		t.Errorf("status %v, error %v", status, err)
	}
}

// TestThousandForksBesideABusyRuntime forks while other goroutines allocate and the collector runs.
func TestThousandForksBesideABusyRuntime(t *testing.T) {
	var stop atomic.Bool
	done := make(chan struct{})
	const busy = 8
	for range busy {
		go func() {
			defer func() { done <- struct{}{} }()
			var keep [][]byte
			for i := 0; !stop.Load(); i++ {
				keep = append(keep, make([]byte, 1+i%4096))
				if len(keep) > 1000 {
					keep = nil
				}
			}
		}()
	}
	go func() {
		defer func() { done <- struct{}{} }()
		for !stop.Load() {
			runtime.GC()
		}
	}()
	p := Program{Host: []Call{clone(0)}, Container: []Call{nop(), nop(), call("exit", func(a *Assembler) { a.Sys(unix.SYS_EXIT_GROUP, Int(42)) })}}
	forks := 1000
	if testing.Short() {
		forks = 100
	}
	for i := range forks {
		process, err := p.Start(Options{})
		if err != nil {
			t.Errorf("fork %d: %v", i, err)
			break
		}
		if status, err := process.Wait(); err != nil || status.ExitStatus() != 42 {
			t.Errorf("fork %d: status %d, error %v", i, status.ExitStatus(), err)
			break
		}
	}
	stop.Store(true)
	for range busy + 1 {
		<-done
	}
}

func ExampleProgram_Steps() {
	p := Program{
		Host: []Call{
			{Request: Clone{Flags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS}},
			{Request: Await{"the id maps"}},
			{Request: WriteFile{"/proc/$pid/uid_map", "0 1000 1\n"}},
			{Request: Release{"the id maps"}},
		},
		Container: []Call{{Request: Wait{"the id maps"}}, {Request: Exec{Args: []string{"id", "-u"}}}},
	}
	for _, s := range p.Steps() {
		fmt.Println(s)
	}
	// Output:
	// host call 1 of 4: clone a process into new namespaces: user, mount
	// container call 1 of 2: wait until the host has done: the id maps
	// host call 2 of 4: wait for the container at: the id maps
	// host call 3 of 4: write "0 1000 1\n" to /proc/$pid/uid_map
	// host call 4 of 4: let the container go on: the id maps
	// container call 2 of 2: execute id -u
}
