// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"bufio"
	stdcmp "cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// busConfig makes a dbus-daemon that lets every user speak to every other.
const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>`

// startBus starts a dbus-daemon which the code under test takes for the machine's. It returns its address and a
// function that kills it.
func startBus(t *testing.T) (address string, kill func()) {
	t.Helper()
	witness.Need(t, "command:dbus-daemon")
	dir := t.TempDir()
	config := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, busConfig, dir+"/bus"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--print-address", "--config-file="+config)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(output).ReadString('\n') // it is written once the daemon listens
	if err != nil {
		t.Fatal("dbus-daemon: ", err)
	}
	address = strings.TrimSpace(line)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	return address, kill
}

// fake is an object on the bus that answers as systemd does. Its fields are set before it is used.
type fake struct {
	conn *dbus.Conn
	// result is how each job ends, one after the other; the last goes on. An empty one never ends.
	results []string
	// refuse are the errors of the first calls of a method, by its name.
	refuse map[string][]string
	// late tells to send the signal after the reply, and not before it.
	late bool
	// noise are signals that are sent before that of the job.
	noise [][]any
	// asked is called for each method.
	asked func(method string)

	mutex sync.Mutex
	calls []string
	// properties are those of the last StartTransientUnit or SetUnitProperties, with their D-Bus types.
	properties []string
}

// startFake puts a systemd on a bus.
func startFake(t *testing.T, address string, f *fake) *fake {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f.conn = conn
	err = conn.ExportMethodTable(map[string]any{
		"Subscribe":       func() *dbus.Error { return f.call("Subscribe") },
		"ResetFailedUnit": func(unit string) *dbus.Error { return f.call("ResetFailedUnit", unit) },
		"KillUnit":        func(unit, who string, signal int32) *dbus.Error { return f.call("KillUnit", unit, who, signal) },
		"StopUnit":        func(unit, mode string) (dbus.ObjectPath, *dbus.Error) { return f.job("StopUnit", unit, mode) },
		"StartTransientUnit": func(unit, mode string, list []variant, _ []auxiliary) (dbus.ObjectPath, *dbus.Error) {
			f.keep(list)
			return f.job("StartTransientUnit", unit, mode)
		},
		"SetUnitProperties": func(unit string, runtime bool, list []variant) *dbus.Error {
			f.keep(list)
			return f.call("SetUnitProperties", unit, runtime)
		},
	}, systemdPath, systemdInterface)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.ExportMethodTable(map[string]any{
		"Get": func(face, name string) (dbus.Variant, *dbus.Error) {
			return dbus.MakeVariant("/home/of/" + name), f.call("Get", face, name)
		},
	}, systemdPath, "org.freedesktop.DBus.Properties")
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(systemdName, 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return f
}

// auxiliary is a further unit of StartTransientUnit.
type auxiliary struct {
	Name       string
	Properties []variant
}

// keep remembers properties.
func (f *fake) keep(list []variant) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.properties = nil
	for _, p := range list {
		f.properties = append(f.properties, fmt.Sprintf("%s %s %v", p.Name, p.Value.Signature(), p.Value.Value()))
	}
}

// call remembers a call, and refuses it as it was told.
func (f *fake) call(method string, args ...any) *dbus.Error {
	if f.asked != nil {
		f.asked(method)
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(method+" "+fmt.Sprint(args...)))
	if names := f.refuse[method]; len(names) > 0 {
		f.refuse[method] = names[1:]
		if names[0] != "" {
			return dbus.NewError(names[0], []any{"refused"})
		}
	}
	return nil
}

// job is a call that starts a job, whose number is that of the job before it and one.
func (f *fake) job(method, unit, mode string) (dbus.ObjectPath, *dbus.Error) {
	if err := f.call(method, unit, mode); err != nil {
		return "", err
	}
	const path = dbus.ObjectPath(systemdPath + "/job/7")
	result := f.results[0]
	if len(f.results) > 1 {
		f.results = f.results[1:]
	}
	tell := func() {
		for _, body := range f.noise {
			f.conn.Emit(systemdPath, systemdInterface+".JobRemoved", body...)
		}
		if result != "" {
			f.conn.Emit(systemdPath, systemdInterface+".JobRemoved", uint32(7), path, unit, result)
		}
	}
	if f.late {
		time.AfterFunc(20*time.Millisecond, tell)
	} else {
		tell()
	}
	return path, nil
}

// said are the calls so far, without those that every conversation begins with.
func (f *fake) said() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return slices.DeleteFunc(slices.Clone(f.calls), func(call string) bool { return call == "Subscribe" })
}

// sampleScope is a request with a property of each type.
func sampleScope() Scope {
	return Scope{
		Unit: Unit{"p-n.scope", "a-b.slice", false}, ID: "my id",
		Limits: []Property{
			{"MemoryMax", uint64(64 << 20)},
			{"AllowedCPUs", []byte{1, 130}},
			{"DevicePolicy", "strict"},
			{"DeviceAllow", []AllowedDevice{{"/dev/char/1:3", "rwm"}, {"char-*", "m"}}},
		},
	}
}

// sampleProperties are what systemd gets for sampleScope around process 42.
func sampleProperties() []string {
	return []string{
		`Description s stave container my id`, `Slice s a-b.slice`, `Delegate b true`, `MemoryAccounting b true`,
		`CPUAccounting b true`, `IOAccounting b true`, `TasksAccounting b true`, `DefaultDependencies b false`,
		`MemoryMax t 67108864`, `AllowedCPUs ay [1 130]`, `DevicePolicy s strict`,
		`DeviceAllow a(ss) [[/dev/char/1:3 rwm] [char-* m]]`, `PIDs au [42]`,
	}
}

// TestScopeIsAskedFor starts units whose job's end is told before and after its number, and among the ends of others.
func TestScopeIsAskedFor(t *testing.T) {
	other := dbus.ObjectPath(systemdPath + "/job/6")
	cases := map[string]*fake{
		"signal first": {results: []string{"done"}},
		"reply first":  {results: []string{"done"}, late: true},
		"other jobs": {results: []string{"done"}, noise: [][]any{
			{uint32(6), other, "p-n.scope", "failed"}, {uint32(7), dbus.ObjectPath("/job/7"), "q-n.scope", "failed"}, {"what"},
		}},
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			address, _ := startBus(t)
			startFake(t, address, f)
			if err := sampleScope().start(42, time.Minute); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"StartTransientUnit p-n.scopereplace"}, f.said()); diff != "" {
				t.Errorf("calls: -want +got:\n%s", diff)
			}
			if diff := cmp.Diff(sampleProperties(), f.properties); diff != "" {
				t.Errorf("properties: -want +got:\n%s", diff)
			}
		})
	}
}

// TestScopeFails looks at each way in which there is no unit in the end, and at what is left of it.
func TestScopeFails(t *testing.T) {
	const start, reset = "StartTransientUnit p-n.scopereplace", "ResetFailedUnit p-n.scope"
	exists := systemdName + ".UnitExists"
	cases := map[string]struct {
		fake     *fake
		patience time.Duration
		fails    string
		calls    []string
	}{
		"failed":      {fake: &fake{results: []string{"failed"}}, fails: `result "failed": see systemctl status p-n.scope`, calls: []string{start, reset}},
		"timeout":     {fake: &fake{results: []string{"timeout"}}, fails: `result "timeout"`, calls: []string{start, reset}},
		"left over":   {fake: &fake{results: []string{"done"}, refuse: map[string][]string{"StartTransientUnit": {exists}}}, calls: []string{start, reset, start}},
		"still there": {fake: &fake{refuse: map[string][]string{"StartTransientUnit": {exists, exists}}}, fails: "name another cgroupsPath, or end it with systemctl stop p-n.scope", calls: []string{start, reset, start}},
		"busy":        {fake: &fake{refuse: map[string][]string{"StartTransientUnit": {exists}, "ResetFailedUnit": {"x.y"}}}, fails: "name another cgroupsPath", calls: []string{start, reset}},
		"not root":    {fake: &fake{refuse: map[string][]string{"StartTransientUnit": {"org.freedesktop.DBus.Error.AccessDenied"}}}, fails: "only root may ask", calls: []string{start, reset}},
		"no property": {fake: &fake{refuse: map[string][]string{"StartTransientUnit": {"org.freedesktop.DBus.Error.PropertyReadOnly"}}}, fails: "refused", calls: []string{start, reset}},
		"never":       {fake: &fake{results: []string{""}}, patience: 300 * time.Millisecond, fails: "systemd has not answered in time", calls: []string{start}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			address, _ := startBus(t)
			f := startFake(t, address, c.fake)
			err := sampleScope().start(42, stdcmp.Or(c.patience, time.Minute))
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("got %v; want an error with %q", err, c.fails)
			}
			if diff := cmp.Diff(c.calls, f.said()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestBusVanishes kills the bus at each point of a conversation: it ends with an error at once, not with the patience.
func TestBusVanishes(t *testing.T) {
	for _, method := range []string{"Subscribe", "StartTransientUnit"} {
		for name, late := range map[string]bool{"before the reply": false, "after the reply": true} {
			t.Run(method+" "+name, func(t *testing.T) {
				address, kill := startBus(t)
				f := &fake{results: []string{""}}
				f.asked = func(asked string) {
					if asked != method {
						return
					}
					if late {
						time.AfterFunc(50*time.Millisecond, kill)
						return
					}
					kill()
				}
				startFake(t, address, f)
				begun := time.Now()
				if err := sampleScope().start(42, 5*time.Minute); err == nil || strings.Contains(err.Error(), "in time") {
					t.Errorf("got %v", err)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// TestNoSystemd names what is missing, and what to do.
func TestNoSystemd(t *testing.T) {
	scope := Scope{Unit: Unit{Name: "p-n.scope", Slice: "a.slice"}}
	fails := func(t *testing.T, s Scope, parts ...string) {
		t.Helper()
		_, homeless := s.Unit.Home()
		for _, err := range []error{s.start(42, time.Minute), s.Unit.Stop(), homeless} {
			for _, part := range append(parts, "leave out --systemd-cgroup") {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("got %v; want an error with %q", err, part)
				}
			}
		}
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/no/such/bus")
		fails(t, scope, "/no/such/bus", "no such file or directory")
	})
	t.Run("no systemd on the bus", func(t *testing.T) {
		startBus(t)
		fails(t, scope, "nobody on this bus is systemd")
	})
	t.Run("a bus without a word", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "bus")
		listener, err := net.Listen("unix", path) // nobody accepts
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
		if err := scope.start(42, 200*time.Millisecond); err == nil || !strings.Contains(err.Error(), "has not answered in time") {
			t.Errorf("got %v", err)
		}
	})
	scope.Unit.User = true
	t.Run("no user's bus", func(t *testing.T) {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
		t.Setenv("XDG_RUNTIME_DIR", "")
		fails(t, scope, "XDG_RUNTIME_DIR")
	})
	t.Run("in the runtime folder", func(t *testing.T) {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
		t.Setenv("XDG_RUNTIME_DIR", "/no/such")
		fails(t, scope, "/no/such/bus")
	})
}

// TestStop stops units in each state, and forgets those that have failed.
func TestStop(t *testing.T) {
	const kill, stop, reset = "KillUnit p-n.scopeall9", "StopUnit p-n.scopereplace", "ResetFailedUnit p-n.scope"
	gone := systemdName + ".NoSuchUnit"
	cases := map[string]struct {
		fake  *fake
		fails string
		calls []string
	}{
		"running":         {fake: &fake{results: []string{"done"}, refuse: map[string][]string{"ResetFailedUnit": {gone}}}, calls: []string{kill, stop, reset}},
		"failed":          {fake: &fake{results: []string{"done"}}, calls: []string{kill, stop, reset}},
		"not there":       {fake: &fake{refuse: map[string][]string{"KillUnit": {gone}, "StopUnit": {gone}, "ResetFailedUnit": {gone}}}, calls: []string{kill, stop, reset}},
		"can't be killed": {fake: &fake{results: []string{"done"}, refuse: map[string][]string{"KillUnit": {systemdName + ".NoSuchProcess"}}}, calls: []string{kill, stop, reset}},
		"refused":         {fake: &fake{refuse: map[string][]string{"StopUnit": {"x.y"}}}, fails: "stop p-n.scope: refused", calls: []string{kill, stop}},
		"job failed":      {fake: &fake{results: []string{"timeout"}}, fails: `stop p-n.scope: systemd's job ended with the result "timeout"`, calls: []string{kill, stop}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			address, _ := startBus(t)
			f := startFake(t, address, c.fake)
			err := sampleScope().Unit.Stop()
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("got %v; want an error with %q", err, c.fails)
			}
			if diff := cmp.Diff(c.calls, f.said()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestUpdateAndHome tells of new limits, and asks for the manager's cgroup.
func TestUpdateAndHome(t *testing.T) {
	address, _ := startBus(t)
	f := startFake(t, address, &fake{})
	u := sampleScope().Unit
	dir := t.TempDir()
	g := Group{[]Folder{{Version: 2, Controllers: []string{"pids"}, Top: dir, Path: dir}}}
	limit := int64(7)
	if err := u.Update(g, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}); err != nil {
		t.Error(err)
	}
	if err := u.Update(g, &specs.LinuxResources{}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"SetUnitProperties p-n.scopetrue"}, f.said()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"TasksMax t 7"}, f.properties); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if home, err := u.Home(); err != nil || home != "/home/of/ControlGroup" {
		t.Errorf("%q, %v", home, err)
	}
}

// TestScopeShell lets busctl ask as explain prints it: systemd is asked for the same.
func TestScopeShell(t *testing.T) {
	witness.Need(t, "command:busctl")
	address, _ := startBus(t)
	f := startFake(t, address, &fake{results: []string{"done"}})
	line, _, _ := strings.Cut(sampleScope().Shell(), "\n") // the second waits for the kernel
	cmd := exec.Command("sh", "-ec", line)
	cmd.Env = append(os.Environ(), "pid=42")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s\n%s", err, output, line)
	}
	if diff := cmp.Diff([]string{"StartTransientUnit p-n.scopereplace"}, f.said()); diff != "" {
		t.Errorf("calls: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(sampleProperties(), f.properties); diff != "" {
		t.Errorf("properties: -want +got:\n%s", diff)
	}
}

// unitProgram is a program whose process waits at a point until the host side has gone on behind it, and then runs sh.
func unitProgram(s Scope, script string) kernel.Program {
	return kernel.Program{
		Host: []kernel.Call{
			{Request: kernel.Clone{}}, {Request: kernel.Await{Point: "cgroup"}}, {Request: s}, {Request: kernel.Release{Point: "cgroup"}},
		},
		Container: []kernel.Call{
			{Request: kernel.Wait{Point: "cgroup"}}, {Request: kernel.Exec{Args: []string{"/bin/sh", "-c", script}}},
		},
	}
}

// TestScopeInProgram runs a program with a unit: the process is there and waits while systemd is asked. When its job
// fails the process is gone, and a later call's failure stops the unit.
func TestScopeInProgram(t *testing.T) {
	scope := sampleScope()
	cases := map[string]struct {
		result string
		later  []kernel.Call
		fails  string
		calls  []string
	}{
		"done":   {result: "done", calls: []string{"StartTransientUnit p-n.scopereplace"}},
		"failed": {result: "failed", fails: "host call 3 of 4: let systemd make p-n.scope in a-b.slice", calls: []string{"StartTransientUnit p-n.scopereplace", "ResetFailedUnit p-n.scope"}},
		"undone": {
			result: "done", later: []kernel.Call{{Request: kernel.WriteFile{Path: "/no/such/file"}}}, fails: "/no/such/file",
			calls: []string{"StartTransientUnit p-n.scopereplace", "KillUnit p-n.scopeall9", "StopUnit p-n.scopereplace", "ResetFailedUnit p-n.scope"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			address, _ := startBus(t)
			f := &fake{results: []string{c.result, "done"}}
			mark := filepath.Join(t.TempDir(), "mark")
			var early error
			f.asked = func(method string) {
				if method == "StartTransientUnit" {
					_, early = os.Stat(mark)
				}
			}
			startFake(t, address, f)
			program := unitProgram(scope, "echo > "+mark)
			program.Host = slices.Insert(program.Host, 3, c.later...)
			p, err := program.Start(kernel.Options{})
			if err == nil {
				if status, err := p.Wait(); err != nil || status != 0 {
					t.Errorf("%v, %v", status, err)
				}
			}
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Fatalf("got %v; want an error with %q", err, c.fails)
			}
			if !os.IsNotExist(early) {
				t.Error("the process went on before systemd was asked:", early)
			}
			if _, err := os.Stat(mark); (err == nil) != (c.fails == "") {
				t.Error("the process's command:", err)
			}
			if diff := cmp.Diff(c.calls, f.said()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			pids := strings.Trim(strings.Split(f.properties[len(f.properties)-1], " ")[2], "[]")
			if pid, err := strconv.Atoi(pids); err != nil || p != nil && pid != p.Pid || p == nil && unix.Kill(pid, 0) != unix.ESRCH {
				t.Errorf("PIDs is %s, the process was %v", pids, p)
			}
		})
	}
}
