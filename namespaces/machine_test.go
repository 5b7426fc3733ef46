// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// raw is a request that a test puts together itself.
type raw struct {
	name string
	add  func(a *kernel.Assembler)
}

func (r raw) String() string               { return r.name }
func (r raw) Shell() string                { return "" }
func (r raw) Assemble(a *kernel.Assembler) { r.add(a) }

// running is a process in its namespaces that reads from a pipe until it is let go.
type running struct {
	*kernel.Process
	t       testing.TB
	out, in *os.File
}

// must fails the test on an error of its preparation.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start runs a shell script in the namespaces of a configuration, with further host calls made when
// the process is in all of them.
func start(t testing.TB, c Config, script string, then ...kernel.Call) (*running, error) {
	t.Helper()
	out, write, err := os.Pipe()
	must(t, err)
	read, in, err := os.Pipe()
	must(t, err)
	const point = "all namespaces"
	p := kernel.Program{}
	p.Host, p.Container = c.Plan()
	p.Host = append(append(append(p.Host, kernel.Call{Request: kernel.Await{Point: point}}), then...), kernel.Call{Request: kernel.Release{Point: point}})
	p.Container = append(p.Container, kernel.Call{Request: kernel.Wait{Point: point}},
		kernel.Call{Request: raw{"use the pipes", func(a *kernel.Assembler) {
			for fd, from := range map[int]kernel.Slot{0: "in", 1: "out", 2: "out"} {
				a.Sys(unix.SYS_DUP3, kernel.FD(from), kernel.Int(fd), kernel.Int(0))
			}
		}}},
		kernel.Call{Request: kernel.CloseDescriptors{}},
		kernel.Call{Request: kernel.Exec{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}})
	process, err := p.Start(kernel.Options{Slots: map[kernel.Slot]int{"out": int(write.Fd()), "in": int(read.Fd())}})
	write.Close()
	read.Close()
	r := &running{process, t, out, in}
	if err != nil {
		in.Close()
		out.Close()
	}
	return r, err
}

// hold starts a process that stands still until end is called, and calls it when the test ends.
func hold(t testing.TB, c Config, then ...kernel.Call) *running {
	t.Helper()
	r, err := start(t, c, "read line; exit 0", then...)
	must(t, err)
	t.Cleanup(func() { r.end() })
	return r
}

// end lets the process go on, and returns what it wrote and its exit code.
func (r *running) end() (string, int) {
	r.t.Helper()
	if r.Process == nil {
		return "", -1
	}
	r.in.Close()
	text, err := io.ReadAll(r.out)
	must(r.t, err)
	r.out.Close()
	status, err := r.Wait()
	must(r.t, err)
	r.Process = nil
	return strings.TrimSpace(string(text)), status.ExitStatus()
}

// output runs a script to its end in the namespaces of a configuration.
func output(t testing.TB, c Config, script string) string {
	t.Helper()
	r, err := start(t, c, script)
	must(t, err)
	text, code := r.end()
	if code != 0 {
		t.Errorf("exit code %d: %s", code, text)
	}
	return text
}

// rooted is a configuration whose user namespace, if it has one, maps every id that tests use.
func rooted(flags uintptr) Config {
	all := []IDMap{{0, 100000, 65536}}
	return Config{New: flags, UIDs: all, GIDs: all}
}

func TestEachKindIsNew(t *testing.T) {
	witness.SharedRoot(t, func() {
		for _, kind := range Kinds() {
			r := hold(t, rooted(kind.Flag()))
			for _, other := range Kinds() {
				got, ours := witness.Namespace(t, r.Pid, string(other)), witness.Namespace(t, 0, string(other))
				if (got != ours) != (other == kind) {
					t.Errorf("new %s: the %s namespace is %d, outside %d", kind, other, got, ours)
				}
			}
			r.end()
		}
	})
}

func TestAllAtOnce(t *testing.T) {
	witness.SharedRoot(t, func() {
		c := rooted(0)
		for _, kind := range Kinds() {
			c.New |= kind.Flag()
		}
		c.Hostname, c.Domainname, c.Loopback = "box", "here", true
		c.Offsets = map[string]Offset{"monotonic": {Seconds: 86400}, "boottime": {Seconds: 86400 * 1000, Nanoseconds: 5}}
		got := output(t, c, `id -u; echo $$; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname; cut -d. -f1 /proc/uptime`)
		lines := strings.Fields(got)
		if len(lines) != 5 || strings.Join(lines[:4], " ") != "0 1 box here" {
			t.Fatalf("the process says %q", got)
		}
		if up, _ := strconv.Atoi(lines[4]); up < 86400*1000 {
			t.Errorf("it is up for %d seconds, want a thousand days more than the machine", up)
		}
	})
}

func TestJoinByPID(t *testing.T) {
	witness.SharedRoot(t, func() {
		for _, kind := range Kinds() {
			first := hold(t, rooted(kind.Flag()))
			c := Config{Joins: []Join{{kind, kind.Path(first.Pid)}}}
			second := hold(t, c)
			if got, want := witness.Namespace(t, second.Pid, string(kind)), witness.Namespace(t, first.Pid, string(kind)); got != want {
				t.Errorf("%s: joined %d, want %d", kind, got, want)
			}
			if kind == PID {
				checkNested(t, second.Pid)
			}
			second.end()
			first.end()
		}
	})
}

// checkNested looks whether a process has a number in a PID namespace below this one.
func checkNested(t testing.TB, pid int) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	if numbers := strings.Fields(line); len(numbers) != 2 || numbers[0] != strconv.Itoa(pid) || numbers[1] != "2" {
		t.Errorf("NSpid is %v, want %d and 2", numbers, pid)
	}
}

func TestJoinSeveral(t *testing.T) {
	witness.SharedRoot(t, func() {
		kinds := []Kind{Mount, PID, User, Network, UTS, IPC, Cgroup, Time}
		c := rooted(0)
		for _, kind := range kinds {
			c.New |= kind.Flag()
		}
		first := hold(t, c)
		c = Config{}
		for _, kind := range kinds {
			c.Joins = append(c.Joins, Join{kind, kind.Path(first.Pid)})
		}
		second := hold(t, c)
		for _, kind := range kinds {
			if got, want := witness.Namespace(t, second.Pid, string(kind)), witness.Namespace(t, first.Pid, string(kind)); got != want {
				t.Errorf("%s: joined %d, want %d", kind, got, want)
			}
		}
		if uid := owner(t, second.Pid); uid != 100000 {
			t.Errorf("it runs as user %d outside, want 100000", uid)
		}
	})
}

// owner is the user a process runs as, seen from here.
func owner(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "\nUid:")
	uid, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return uid
}

// TestClocksBesideJoins makes new clocks and users while it joins mounts that have no /proc of its own.
func TestClocksBesideJoins(t *testing.T) {
	witness.SharedRoot(t, func() {
		first := hold(t, Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWPID})
		hidden := raw{"hide /proc", func(a *kernel.Assembler) {
			private := kernel.Int(unix.MS_PRIVATE | unix.MS_REC)
			a.Sys(unix.SYS_MOUNT, kernel.Int(0), kernel.Str("/"), kernel.Int(0), private, kernel.Int(0))
			a.Sys(unix.SYS_MOUNT, kernel.Str("x"), kernel.Str("/proc"), kernel.Str("tmpfs"), kernel.Int(0), kernel.Int(0))
		}}
		must(t, inMounts(first.Pid, hidden))
		for name, c := range map[string]Config{
			"mounts":                {New: unix.CLONE_NEWTIME, Joins: []Join{{Mount, Mount.Path(first.Pid)}}},
			"mounts and PIDs":       {New: unix.CLONE_NEWTIME, Joins: []Join{{Mount, Mount.Path(first.Pid)}, {PID, PID.Path(first.Pid)}}},
			"mounts, and new users": {New: unix.CLONE_NEWTIME | unix.CLONE_NEWUSER, Joins: []Join{{Mount, Mount.Path(first.Pid)}}, UIDs: []IDMap{{0, 100000, 10}}, GIDs: []IDMap{{0, 100000, 10}}},
		} {
			c.Offsets = map[string]Offset{"boottime": {Seconds: 500}}
			r, err := start(t, c, "read line")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			text, err := os.ReadFile(r.offsets())
			must(t, err)
			if got := strings.Join(strings.Fields(string(text)), " "); got != "monotonic 0 0 boottime 500 0" {
				t.Errorf("%s: the offsets are %q", name, got)
			}
			r.end()
		}
	})
}

// inMounts runs one request in the mount namespace of a process.
func inMounts(pid int, r kernel.Request) error {
	host, inside := Config{Joins: []Join{{Mount, Mount.Path(pid)}}}.Plan()
	process, err := kernel.Program{Host: host, Container: append(inside, kernel.Call{Request: r})}.Start(kernel.Options{})
	if err != nil {
		return err
	}
	_, err = process.Wait()
	return err
}

func TestKeepAndForget(t *testing.T) {
	witness.SharedRoot(t, func() {
		dir := t.TempDir()
		for _, kind := range Kinds() {
			if kind == PID || kind == Mount {
				continue // the one ends with its first process, for the other see below
			}
			path := filepath.Join(dir, string(kind))
			first := hold(t, rooted(kind.Flag()), kernel.Call{Request: Keep{kind, path}})
			want := witness.Namespace(t, first.Pid, string(kind))
			first.end()
			second := hold(t, Config{Joins: []Join{{kind, path}}})
			if got := witness.Namespace(t, second.Pid, string(kind)); got != want {
				t.Errorf("%s: joined %d, want %d", kind, got, want)
			}
			second.end()
			must(t, Forget(path))
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s: the file is left: %v", kind, err)
			}
		}
		for _, m := range witness.Mounts(t, 0) {
			if m.Type == "nsfs" {
				t.Errorf("%s is left", m.Point)
			}
		}
	})
}

// TestKeepAMountNamespace keeps one below a private mount. Each processor is tried: Linux 6.18 gives out
// the numbers by which it tells older namespaces from newer ones for each processor apart, and refuses
// one that looks older than the caller's.
func TestKeepAMountNamespace(t *testing.T) {
	witness.SharedRoot(t, func() {
		dir := t.TempDir()
		must(t, unix.Mount(dir, dir, "", unix.MS_BIND, ""))
		must(t, unix.Mount("", dir, "", unix.MS_PRIVATE, ""))
		defer unix.Unmount(dir, 0)
		path := filepath.Join(dir, "mnt")
		var processors unix.CPUSet
		must(t, unix.SchedGetaffinity(0, &processors))
		for cpu := range 1024 {
			if !processors.IsSet(cpu) {
				continue
			}
			var one unix.CPUSet
			one.Set(cpu)
			must(t, unix.SchedSetaffinity(0, &one)) // the thread ends with the test
			first, err := start(t, Config{New: unix.CLONE_NEWNS}, "read line", kernel.Call{Request: Keep{Mount, path}})
			if errors.Is(err, unix.EINVAL) {
				continue
			}
			must(t, err)
			want := witness.Namespace(t, first.Pid, string(Mount))
			first.end()
			second := hold(t, Config{Joins: []Join{{Mount, path}}})
			if got := witness.Namespace(t, second.Pid, string(Mount)); got != want {
				t.Errorf("joined %d, want %d", got, want)
			}
			second.end()
			must(t, Forget(path))
			return
		}
		t.Error("kept on no processor")
	})
}

// TestKeepIsUndone lets a call after Keep fail.
func TestKeepIsUndone(t *testing.T) {
	witness.SharedRoot(t, func() {
		path := filepath.Join(t.TempDir(), "net")
		_, err := start(t, Config{New: unix.CLONE_NEWNET}, "exit 0", kernel.Call{Request: Keep{Network, path}},
			kernel.Call{Request: kernel.WriteFile{Path: "/nonexistent/file"}})
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("error is %v", err)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file is left: %v", err)
		}
		must(t, os.WriteFile(path, nil, 0o600))
		if _, err = start(t, Config{New: unix.CLONE_NEWNET}, "exit 0", kernel.Call{Request: Keep{Network, path}}); !errors.Is(err, unix.EEXIST) {
			t.Errorf("over a file that is there, the error is %v", err)
		}
		if err := Forget(path); !errors.Is(err, unix.EINVAL) {
			t.Errorf("forget what is not kept: %v", err)
		}
	})
}

func TestBrokenJoins(t *testing.T) {
	witness.Need(t, "root")
	plain := filepath.Join(t.TempDir(), "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	for name, c := range map[string]struct {
		join  Join
		call  string
		cause unix.Errno
	}{
		"nothing there":    {Join{Network, "/nonexistent/net"}, "open the net namespace /nonexistent/net", unix.ENOENT},
		"a plain file":     {Join{Network, plain}, "join the net namespace " + plain, unix.EINVAL},
		"another kind":     {Join{Network, "/proc/self/ns/uts"}, "join the net namespace /proc/self/ns/uts", unix.EINVAL},
		"an unknown kind":  {Join{"x", "/proc/self/ns/uts"}, "join the x namespace /proc/self/ns/uts", unix.EINVAL},
		"a process gone":   {Join{PID, "/proc/4194305/ns/pid"}, "open the pid namespace /proc/4194305/ns/pid", unix.ENOENT},
		"our own, of user": {Join{User, "/proc/self/ns/user"}, "join the user namespace /proc/self/ns/user", unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := start(t, Config{Joins: []Join{c.join}}, "exit 0")
			var failed *kernel.CallError
			if !errors.As(err, &failed) || failed.Call.String() != c.call || !errors.Is(err, c.cause) {
				t.Errorf("error is %v, want one of %q with %q", err, c.call, c.cause)
			}
		})
	}
}

// offsets is the file of the clock offsets of a process.
func (r *running) offsets() string { return "/proc/" + strconv.Itoa(r.Pid) + "/timens_offsets" }
