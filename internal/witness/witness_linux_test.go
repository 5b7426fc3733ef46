// SPDX-License-Identifier: Apache-2.0

package witness_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// leakVariable names what the test binary is to leave behind instead of running tests.
const leakVariable = "WITNESS_LEAK"

// runner is a witness.Runner made of a function.
type runner func() int

// Run calls the function.
func (r runner) Run() int { return r() }

// TestMain runs the tests without a witness, which would hold the lock that the runs below need; or leaks, with one.
func TestMain(m *testing.M) {
	if name := os.Getenv(leakVariable); name != "" {
		os.Exit(witness.Watch(runner(leaks()[name])).Run())
	}
	os.Exit(m.Run())
}

// leaks are test runs that leave something behind, or that end in a special way.
func leaks() map[string]func() int {
	return map[string]func() int{
		"nothing": func() int { return 0 },
		"code":    func() int { return 3 },
		"signal":  func() int { unix.Kill(os.Getpid(), unix.SIGKILL); select {} },
		"process": func() int { return start("exec sleep 1000 >&- 2>&-") },
		"orphan":  func() int { return start("setsid sleep 1000 >&- 2>&- & exit 0") },
		"ended":   func() int { return start("sleep 0 & exit 0") },
		"file":    func() int { return start("echo x > $TMPDIR/forgotten") },
		"goFile": func() int {
			if os.WriteFile(os.TempDir()+"/forgotten", nil, 0o600) != nil {
				return 9
			}
			return 0
		},
		"late":  func() int { return start("touch $TMPDIR/late; { sleep 0.2; rm $TMPDIR/late; } & exit 0") },
		"mount": func() int { return start("mkdir $TMPDIR/m && mount -t tmpfs none $TMPDIR/m") },
		"link":  func() int { return start("ip link add left type veth peer name right") },
		"name":  func() int { return start("hostname other") },
		"kept":  func() int { return start("touch $TMPDIR/n && unshare --net=$TMPDIR/n true") },
		"cgroup": func() int {
			return start("mkdir $(awk '/ - cgroup/ {print $5; exit}' /proc/self/mountinfo)/stave-witness")
		},
		"cgroup2": func() int {
			return start("mkdir -p $(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)/stave-witness2/below")
		},
		"thread":     leaveThread,
		"descriptor": leaveDescriptor,
	}
}

// start runs a shell script and returns 0, or waits for it if it may end at once.
func start(script string) int {
	shell := exec.Command("sh", "-c", script)
	if strings.HasPrefix(script, "exec") {
		if err := shell.Start(); err != nil {
			return 9
		}
		return 0
	}
	if output, err := shell.CombinedOutput(); err != nil {
		fmt.Printf("%s: %v %s\n", script, err, output)
		return 9
	}
	return 0
}

// leaveThread leaves a thread of this process in a UTS namespace of its own.
func leaveThread() int {
	ready := make(chan error)
	var leave func()
	leave = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the main thread, which the witness leaves out: another one then
			go leave()
			select {}
		}
		ready <- unix.Unshare(unix.CLONE_NEWUTS)
		select {}
	}
	go leave()
	if err := <-ready; err != nil {
		fmt.Println(err)
		return 9
	}
	return 0
}

// leaveDescriptor leaves an open descriptor of a UTS namespace, whose thread ends.
func leaveDescriptor() int {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWUTS)
		if err == nil {
			_, err = unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		fmt.Println(err)
		return 9
	}
	return 0
}

// TestWatch leaks each thing on purpose and reads what the witness says.
func TestWatch(t *testing.T) {
	cases := map[string]struct {
		root bool
		code int
		says string
	}{
		"nothing": {code: 0},
		"code":    {code: 3},
		"signal":  {code: 128 + 9},
		"ended":   {code: 0},
		"late":    {code: 0},
		"process": {code: 1, says: "(sleep)"},
		"orphan":  {code: 1, says: "(sleep)"},
		"file":    {code: 1, says: "/forgotten"},
		"mount":   {root: true, code: 1, says: "/m (tmpfs)"},
		"link":    {root: true, code: 1, says: "link left"},
		"name":    {root: true, code: 1, says: "host name other"},
		"kept":    {root: true, code: 1, says: "kept by the file"},
		"cgroup":  {root: true, code: 1, says: "/stave-witness"},
		"cgroup2": {root: true, code: 1, says: "/stave-witness2/below"},
		"thread":  {root: true, code: 1, says: "of the test binary in namespace uts:["},

		"descriptor": {root: true, code: 1, says: "of namespace uts:["},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			if want.root {
				witness.Need(t, "root")
			}
			tier := "unit" // takes no lock, so that the cases wait for the witness side by side
			switch name {
			case "cgroup":
				tier = "root"
				defer removeGroups(t, "cgroup", "/stave-witness")
			case "cgroup2":
				if !slices.ContainsFunc(witness.Mounts(t, 0), func(m witness.Mount) bool { return m.Type == "cgroup2" }) {
					t.Skip("needs cgroup2: not mounted")
				}
				tier = "root"
				defer removeGroups(t, "cgroup2", "/stave-witness2/below", "/stave-witness2")
			}
			t.Parallel()
			code, output := leak(t, name, tier)
			if code != want.code || !strings.Contains(output, want.says) || (want.says == "") != (output == "") {
				t.Errorf("exit code %d, want %d; output without %q:\n%s", code, want.code, want.says, output)
			}
		})
	}
}

// TestOwnTemporaryFolder has TMPDIR in the environment before the witness sets it: the tests get the witness's.
func TestOwnTemporaryFolder(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	if code, said := leak(t, "goFile", "unit"); code != 1 || !strings.Contains(said, "/forgotten") {
		t.Errorf("exit code %d: %s", code, said)
	}
	if _, err := os.Stat(folder + "/forgotten"); err == nil {
		t.Error("the tests got the folder of the environment")
	}
}

// TestMachineUntouched looks at the machine's own mounts and links after a run that leaked some.
func TestMachineUntouched(t *testing.T) {
	witness.Need(t, "root")
	for _, name := range []string{"mount", "link"} {
		leak(t, name, "unit")
	}
	for _, m := range witness.Mounts(t, 0) {
		if strings.Contains(m.Point, "witness") {
			t.Errorf("mounted on the machine: %s", m.Point)
		}
	}
	if _, err := os.Stat("/sys/class/net/left"); err == nil {
		t.Error("the link reached the machine")
	}
	if left, _ := filepath.Glob(os.TempDir() + "/witness*/forgotten"); len(left) > 0 {
		t.Errorf("not removed: %v", left)
	}
}

// leak runs this test binary with a leak, in a tier, and returns its exit code and what it said.
func leak(t *testing.T, name, tier string) (int, string) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "STAVE_WITNESS=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, leakVariable+"="+name, "STAVE_TIER="+tier)
	output, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	var said []string // a run that has to wait for another says so; that is not what is looked for
	for line := range strings.Lines(string(output)) {
		if !strings.HasPrefix(line, "witness: waiting") {
			said = append(said, line)
		}
	}
	return cmd.ProcessState.ExitCode(), strings.Join(said, "")
}

// removeGroups removes groups that a leak made, from the hierarchies of a kind.
func removeGroups(t *testing.T, kind string, names ...string) {
	for _, m := range witness.Mounts(t, 0) {
		for _, name := range names {
			if strings.HasPrefix(m.Type, kind) {
				os.Remove(m.Point + name)
			}
		}
	}
}

// TestSharedRoot looks at the propagation inside, and for the mount outside.
func TestSharedRoot(t *testing.T) {
	witness.Need(t, "root")
	before := witness.Namespace(t, 0, "mnt")
	folder := t.TempDir()
	var inside, inChild uint64
	witness.SharedRoot(t, func() {
		inside = witness.Namespace(t, 0, "mnt")
		if err := unix.Mount("none", folder, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		for _, m := range witness.Mounts(t, 0) {
			if !m.Shared() {
				t.Errorf("%s is not shared", m.Point)
			}
		}
		link, err := exec.Command("readlink", "/proc/self/ns/mnt").Output()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Sscanf(string(link), "mnt:[%d]", &inChild)
	})
	if inside == before || inChild != inside {
		t.Errorf("mount namespaces: %d outside, %d inside, %d in a child", before, inside, inChild)
	}
	for _, m := range witness.Mounts(t, 0) {
		if m.Point == folder {
			t.Error("the mount came out")
		}
	}
	if now := witness.Namespace(t, os.Getpid(), "mnt"); now != before {
		t.Errorf("the main thread is in mount namespace %d, was in %d", now, before)
	}
}
