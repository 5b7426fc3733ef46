// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"crypto/rand"
	"maps"
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
	"stave/kernel"
)

// newUnit returns a unit of this machine's systemd, which is not there yet, and its cgroup.
func newUnit(t *testing.T, slice, name string, user bool) (Unit, Group) {
	t.Helper()
	u, err := ParseUnit(slice+":stave-test:"+strings.ToLower(rand.Text())+name, "", user)
	if err != nil {
		t.Fatal(err)
	}
	home, err := u.Home()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	g, err := layout.UnitGroup(u, home)
	if err != nil {
		t.Fatal(err)
	}
	return u, g
}

// startUnit runs a shell script as the first process of a unit, and returns the process and what the script wrote
// before it came to "ready". After the test, there is neither unit nor cgroup.
func startUnit(t *testing.T, u Unit, g Group, r *specs.LinuxResources, script string) (pid int, output string) {
	t.Helper()
	before, after, err := g.CreateIn(u, "my id", r)
	if err != nil {
		t.Fatal(err)
	}
	if u.User { // device programs are for root
		after = slices.DeleteFunc(after, func(c kernel.Call) bool { _, ok := c.Request.(DeviceProgram); return ok })
	}
	file := filepath.Join(t.TempDir(), "output")
	p := unitProgram(Scope{}, "exec >"+file+" 2>&1; "+script)
	p.Host = slices.Concat(before, p.Host[:2], after, p.Host[3:])
	_, others := g.BySystemd()
	_, _, inside := others.Enter(false)
	p.Container = slices.Concat(p.Container[:1], inside, p.Container[1:])
	process, err := p.Start(kernel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopUnit(t, u, g)
		if _, err := process.Wait(); err != nil && err != unix.ECHILD {
			t.Error(err)
		}
	})
	witness.Until(t, "the script is ready", func() bool {
		text, err := os.ReadFile(file)
		output = string(text)
		return err == nil && strings.HasSuffix(output, "ready\n")
	})
	return process.Pid, output
}

// stopUnit stops a unit, removes its cgroup, and looks whether they are gone.
func stopUnit(t *testing.T, u Unit, g Group) {
	t.Helper()
	if err := u.Stop(); err != nil {
		t.Error(err)
	}
	for _, f := range g.Folders {
		if f.bySystemd() {
			witness.Until(t, f.Path+" is gone", func() bool { return !exists(f.Path) })
		}
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	property, gone := "LoadState", "not-found"
	if u.slice() {
		property, gone = "ActiveState", "inactive" // it is remembered until the next reload
	}
	witness.Until(t, u.Name+" is "+gone, func() bool { return show(t, u, property) == gone })
}

// systemctl runs systemctl, of the unit's manager.
func systemctl(t *testing.T, u Unit, args ...string) string {
	t.Helper()
	if u.User {
		args = append([]string{"--user"}, args...)
	}
	output, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v %s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

// show is the value of a unit's property.
func show(t *testing.T, u Unit, property string) string {
	t.Helper()
	return systemctl(t, u, "show", "--property", property, "--value", u.Name)
}

// checkProperties waits until properties of a unit are what they are to be.
func checkProperties(t *testing.T, u Unit, want map[string]string) {
	t.Helper()
	names := slices.Collect(maps.Keys(want))
	untilSame(t, "properties of "+u.Name, want, func() map[string]string {
		got := map[string]string{}
		for line := range strings.Lines(systemctl(t, u, "show", "--property", strings.Join(names, ","), u.Name)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			got[name] = value
		}
		return got
	})
}

// untilSame waits until what look returns is what is wanted, and tells the difference if that does not come: systemd does
// some things after it has answered.
func untilSame(t *testing.T, what string, want map[string]string, look func() map[string]string) {
	t.Helper()
	diff := ""
	defer func() {
		if diff != "" {
			t.Errorf("%s: -want +got:\n%s", what, diff)
		}
	}()
	witness.Until(t, what+" are as wanted", func() bool {
		diff = cmp.Diff(want, look())
		return diff == ""
	})
}

// unitLimits are limits of every kind that systemd knows.
func unitLimits() *specs.LinuxResources {
	limit, low, both, pids, quota, period, shares := int64(64<<20), int64(8<<20), int64(96<<20), int64(50), int64(12_345), uint64(50_000), uint64(512)
	return &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &limit, Reservation: &low, Swap: &both},
		CPU:     &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period, Cpus: "0", Mems: "0"},
		Pids:    &specs.LinuxPids{Limit: &pids},
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Unified: map[string]string{"memory.high": strconv.Itoa(60 << 20), "memory.min": "4096"},
	}
}

// unitFiles are the files for unitLimits in version 2, without cpu.max.
func unitFiles() map[string]string {
	return map[string]string{
		"memory.max": strconv.Itoa(64 << 20), "memory.low": strconv.Itoa(8 << 20), "memory.swap.max": strconv.Itoa(32 << 20),
		"memory.high": strconv.Itoa(60 << 20), "memory.min": "4096", "pids.max": "50", "cpu.weight": strconv.FormatUint(weight(512), 10),
		"cpuset.cpus": "0", "cpuset.mems": "0",
	}
}

// checkFiles waits until files of the group say what they are to say.
func checkFiles(t *testing.T, when string, f Folder, want map[string]string) {
	t.Helper()
	untilSame(t, when+", files of "+f.Path, want, func() map[string]string {
		got := map[string]string{}
		for name := range want {
			got[name] = read(t, f.File(name))
		}
		return got
	})
}

// checkDevices waits until processes of the group may open /dev/null, and /dev/kmsg not: systemd puts device programs in
// anew when it reloads its configuration.
func checkDevices(t *testing.T, when string, f Folder) {
	t.Helper()
	witness.Until(t, when+", /dev/null is allowed and /dev/kmsg denied", func() bool { return opens(f, "/dev/null") && !opens(f, "/dev/kmsg") })
}

// opens tells whether a process of the group can open a device.
func opens(f Folder, device string) bool {
	return exec.Command("sh", "-ec", "echo $$ > "+f.File("cgroup.procs")+"; : < "+device).Run() == nil
}

// TestSystemdScope runs a process in a scope with all limits: it is in it and limited when it begins, the kernel and
// systemd agree, and a reload of systemd's configuration changes nothing.
func TestSystemdScope(t *testing.T) {
	witness.Need(t, "systemd")
	u, g := newUnit(t, "stave-test.slice", "", false)
	t.Cleanup(func() { systemctl(t, u, "stop", "stave.slice") }) // systemd keeps slices
	f, ok := g.Unified()
	if !ok {
		t.Fatal("no version 2 here")
	}
	pid, output := startUnit(t, u, g, unitLimits(), "cat /proc/self/cgroup "+f.File("memory.max")+" "+f.File("pids.max")+"; echo ready; exec sleep 1000")
	inside := strings.TrimPrefix(f.Path, f.Top)
	if want := "0::" + inside + "\n67108864\n50\nready\n"; output != want {
		t.Errorf("the process saw %q, want %q", output, want)
	}
	if want := "/stave.slice/stave-test.slice/" + u.Name; inside != want {
		t.Errorf("the path is %s, want %s", inside, want)
	}
	checkFiles(t, "at first", f, unitFiles())
	checkFiles(t, "at first", f, map[string]string{"cpu.max": "12345 50000", "cgroup.procs": strconv.Itoa(pid)})
	checkProperties(t, u, map[string]string{
		"ControlGroup": inside, "Slice": u.Slice, "Description": "stave container my id", "Delegate": "yes", "ActiveState": "active",
		"MemoryMax": "67108864", "MemoryHigh": "62914560", "MemoryLow": "8388608", "MemoryMin": "4096", "MemorySwapMax": "33554432",
		"TasksMax": "50", "CPUWeight": unitFiles()["cpu.weight"], "CPUQuotaPerSecUSec": "250ms", "CPUQuotaPeriodUSec": "50ms",
		"AllowedCPUs": "0", "AllowedMemoryNodes": "0", "MemoryAccounting": "yes", "DefaultDependencies": "no",
	})
	checkDevices(t, "at first", f)
	systemctl(t, u, "daemon-reload")
	checkFiles(t, "after the reload", f, unitFiles())
	witness.Until(t, "cpu.max is as it was, or rounded up", func() bool {
		return slices.Contains([]string{"12345 50000", "12500 50000"}, read(t, f.File("cpu.max")))
	})
	checkDevices(t, "after the reload", f)
}

// TestSystemdStop stops units that don't want to end, have groups of their own, or have ended by themselves.
func TestSystemdStop(t *testing.T) {
	witness.Need(t, "systemd")
	hog := int64(16 << 20)
	cases := map[string]struct {
		r      *specs.LinuxResources
		script string
		ended  string // the state to wait for
	}{
		"deaf":          {script: "trap '' TERM HUP INT; echo ready; while :; do sleep 1000; done"},
		"groups below":  {script: "mkdir $d/a $d/a/b; echo $$ > $d/a/b/cgroup.procs; echo ready; exec sleep 1000"},
		"ended":         {script: "echo ready", ended: "inactive"},
		"out of memory": {r: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &hog, Swap: &hog}}, script: "echo ready; exec tail /dev/zero", ended: "inactive failed"},
		"killed":        {script: "echo ready; kill -9 $$", ended: "inactive failed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			u, g := newUnit(t, "", "", false)
			f, _ := g.Unified()
			startUnit(t, u, g, c.r, "d="+f.Path+"; "+c.script)
			if c.ended != "" {
				witness.Until(t, "the unit has ended", func() bool { return strings.Contains(c.ended, show(t, u, "ActiveState")) })
			}
		})
	}
}

// TestSystemdUpdate changes limits of a running unit, which stay changed when systemd reloads its configuration.
func TestSystemdUpdate(t *testing.T) {
	witness.Need(t, "systemd")
	u, g := newUnit(t, "", "", false)
	f, _ := g.Unified()
	startUnit(t, u, g, unitLimits(), "echo ready; exec sleep 1000")
	limit, pids, quota := int64(48<<20), int64(-1), int64(20_000)
	change := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit}, Pids: &specs.LinuxPids{Limit: &pids}, CPU: &specs.LinuxCPU{Quota: &quota},
	}
	if err := u.Update(g, change); err != nil {
		t.Fatal(err)
	}
	if err := g.Update(change); err != nil {
		t.Fatal(err)
	}
	files := unitFiles()
	files["memory.max"], files["pids.max"], files["cpu.max"] = strconv.Itoa(48<<20), "max", "20000 50000"
	checkFiles(t, "at first", f, files)
	systemctl(t, u, "daemon-reload")
	checkFiles(t, "after the reload", f, files)
	checkProperties(t, u, map[string]string{"MemoryMax": "50331648", "TasksMax": "infinity", "CPUQuotaPerSecUSec": "400ms"})
}

// TestSystemdRewrites shows why limits are told to systemd: what it does not know, it takes back.
func TestSystemdRewrites(t *testing.T) {
	witness.Need(t, "systemd")
	u, g := newUnit(t, "", "", false)
	f, _ := g.Unified()
	startUnit(t, u, g, nil, "echo ready; exec sleep 1000")
	write(t, f.File("pids.max"), "50")
	systemctl(t, u, "daemon-reload")
	// Where this waits in vain, the properties are of no use.
	witness.Until(t, "the reload has taken pids.max back", func() bool { return read(t, f.File("pids.max")) != "50" })
}

// TestSystemdSlice puts a process into a slice.
func TestSystemdSlice(t *testing.T) {
	witness.Need(t, "systemd")
	name := "stavetest" + strings.ToLower(rand.Text()) + ".slice"
	u, err := ParseUnit("::"+name, "", false)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	g, err := layout.UnitGroup(u, "")
	if err != nil {
		t.Fatal(err)
	}
	f, _ := g.Unified()
	_, output := startUnit(t, u, g, unitLimits(), "cat /proc/self/cgroup; echo ready; exec sleep 1000")
	if want := "0::/" + name + "\nready\n"; output != want {
		t.Errorf("the process saw %q, want %q", output, want)
	}
	checkFiles(t, "at first", f, unitFiles())
	checkProperties(t, u, map[string]string{"MemoryMax": "67108864", "MemoryHigh": "62914560", "TasksMax": "50", "Description": "stave container my id"})
}

// TestSystemdRefuses looks at errors of a real systemd, which leave no unit.
func TestSystemdRefuses(t *testing.T) {
	witness.Need(t, "systemd")
	u, g := newUnit(t, "", "", false)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	scope := Scope{Unit: u, ID: "x"}
	if err := scope.start(dead.Process.Pid, busPatience); err == nil {
		t.Error("a unit around a dead process")
	}
	scope.Limits = []Property{{"NoSuchProperty", true}}
	if err := scope.start(os.Getpid(), busPatience); err == nil || !strings.Contains(err.Error(), "NoSuchProperty") {
		t.Errorf("an unknown property: %v", err)
	}
	witness.Until(t, "there is no unit", func() bool { return show(t, u, "LoadState") == "not-found" })
	startUnit(t, u, g, nil, "echo ready; exec sleep 1000")
	err := (Scope{Unit: u, ID: "x"}).start(os.Getpid(), busPatience)
	if err == nil || !strings.Contains(err.Error(), "systemctl stop "+u.Name) {
		t.Errorf("a unit that is there: %v", err)
	}
	witness.Until(t, "the unit that was there is active", func() bool { return show(t, u, "ActiveState") == "active" })
}

// TestSystemdScript makes the unit with the commands that explain prints.
func TestSystemdScript(t *testing.T) {
	witness.Need(t, "systemd")
	u, g := newUnit(t, "", "", false)
	f, _ := g.Unified()
	s, err := u.Scope("my id", g, unitLimits())
	if err != nil {
		t.Fatal(err)
	}
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stopUnit(t, u, g)
		sleep.Wait()
	}()
	script := exec.Command("sh", "-ec", s.Shell())
	script.Env = append(os.Environ(), "pid="+strconv.Itoa(sleep.Process.Pid))
	if output, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v %s\n%s", err, output, s.Shell())
	}
	if got := read(t, f.File("cgroup.procs")); got != strconv.Itoa(sleep.Process.Pid) {
		t.Errorf("the processes are %q", got)
	}
	checkFiles(t, "by systemd alone", f, unitFiles())
}

// TestRootlessSystemd runs a process in a scope of the user's own systemd.
func TestRootlessSystemd(t *testing.T) {
	if _, err := os.Stat(os.Getenv("XDG_RUNTIME_DIR") + "/bus"); err != nil || os.Getuid() == 0 {
		t.Skipf("needs systemd: of a user who is not root: %v", err)
	}
	u, g := newUnit(t, "", "", true)
	f, _ := g.Unified()
	if want := "/user@" + strconv.Itoa(os.Getuid()) + ".service/user.slice/" + u.Name; !strings.HasSuffix(f.Path, want) {
		t.Errorf("the path is %s, want one that ends in %s", f.Path, want)
	}
	_, output := startUnit(t, u, g, unitLimits(), "cat /proc/self/cgroup; echo ready; exec sleep 1000")
	if want := "0::" + strings.TrimPrefix(f.Path, f.Top) + "\nready\n"; output != want {
		t.Errorf("the process saw %q, want %q", output, want)
	}
	systemctl(t, u, "daemon-reload")
	checkFiles(t, "after the reload", f, unitFiles())
}
