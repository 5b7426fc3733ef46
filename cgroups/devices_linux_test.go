// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// prober is a shell in a mount namespace of its own, with a tmpfs that holds device nodes. It tries what it is told to.
type prober struct {
	t      *testing.T
	pid    int
	ask    io.Writer
	answer *bufio.Reader
}

// probeScript reads requests "access type major minor", one a line, and answers each with one line: "yes", "no" for
// EPERM, or the error. A shell's redirection is an open(2); ">>" does not truncate.
const probeScript = `
mount -t tmpfs stave-test "$1" && cd "$1" && echo ready || exit
while read -r access type major minor; do
	rm -f new
	node=$type-$major-$minor
	case $access in
	m) said=$(mknod new "$type" "$major" "$minor" 2>&1) ;;
	r) said=$( (: <"$node") 2>&1) ;;
	w) said=$( (: >>"$node") 2>&1) ;;
	rw) said=$( (: <>"$node") 2>&1) ;;
	make) said=$(mknod "$node" "$type" "$major" "$minor" 2>&1) ;;
	esac && said=yes
	case $said in
	*"Operation not permitted"*) said=no ;;
	esac
	echo "$said"
done`

// newProber starts one, with nodes for devices ("c 1:3"), outside of any group.
func newProber(t *testing.T, nodes ...DeviceSet) *prober {
	t.Helper()
	witness.Need(t, "root", "command:sh", "command:mount", "command:mknod")
	cmd := exec.Command("sh", "-c", probeScript, "sh", t.TempDir())
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	p := &prober{t, cmd.Process.Pid, in, bufio.NewReader(out)}
	if line, err := p.answer.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the shell says %q, %v", line, err)
	}
	for _, d := range nodes {
		if said := p.try("make", d); said != "yes" {
			t.Fatalf("make the node %s: %s", d, said)
		}
	}
	return p
}

// try asks for one access and returns "yes", "no" or another error than EPERM.
func (p *prober) try(access string, d DeviceSet) string {
	p.t.Helper()
	fmt.Fprintf(p.ask, "%s %c %d %d\n", access, d.Type, d.Major, d.Minor)
	line, err := p.answer.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// wants tries accesses ("rw c 1:3") and compares.
func (p *prober) wants(answer string, accesses ...string) {
	p.t.Helper()
	for _, text := range accesses {
		access, device, _ := strings.Cut(text, " ")
		rule := bare(p.t, "allow "+device+" r")[0]
		if got := p.try(access, rule.DeviceSet); got != answer {
			p.t.Errorf("%s: %s, want %s", text, got, answer)
		}
	}
}

// The devices of the tests. Without rules root may open each of them for reading and writing.
var (
	null  = DeviceSet{'c', 1, 3}
	zero  = DeviceSet{'c', 1, 5}
	kmsg  = DeviceSet{'c', 1, 11}
	nodes = []DeviceSet{null, zero, kmsg}
)

// onVersions runs a test in a group that has only the folder of v1's controller devices, and in one with only that of v2.
func onVersions(t *testing.T, test func(t *testing.T, g Group)) {
	t.Run("v1", func(t *testing.T) {
		witness.Need(t, "root", "cgroup1:devices")
		f, _ := newGroup(t).Folder("devices")
		test(t, Group{Folders: []Folder{f}})
	})
	t.Run("v2", func(t *testing.T) { test(t, unifiedGroup(t)) })
}

// unifiedGroup makes a group that has only the folder of the v2 tree.
func unifiedGroup(t *testing.T) Group {
	t.Helper()
	f, ok := newGroup(t).Unified()
	if !ok {
		t.Skip("needs cgroup2: no tree of version 2 is mounted")
	}
	return Group{Folders: []Folder{f}}
}

// carryOut carries out host calls, up to the first error.
func carryOut(t *testing.T, calls []kernel.Call, err error) error {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range calls {
		if err := c.Request.(kernel.Doer).Do(&kernel.Host{}); err != nil {
			return &kernel.CallError{Side: kernel.HostSide, Index: i + 1, Count: len(calls), Call: c, Err: err}
		}
	}
	return nil
}

// must is carryOut without an error.
func must(t *testing.T, calls []kernel.Call, err error) {
	t.Helper()
	if err := carryOut(t, calls, err); err != nil {
		t.Fatal(err)
	}
}

func TestDevicesInKernel(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		p := newProber(t, nodes...)
		p.wants("yes", "rw c 1:3", "rw c 1:11")
		calls, err := g.Devices(parseRules(t, "deny a *:* rwm, allow c 1:11 r"))
		must(t, calls, err)
		put(t, g, p.pid)
		p.wants("yes", "r c 1:3", "w c 1:3", "rw c 1:3", "rw c 1:5", "r c 1:11", "m c 1:11", "m b 8:0", "m c 10:229")
		p.wants("no", "w c 1:11", "rw c 1:11")
	})
}

// TestNoDeviceRules holds what no rules at all mean against what runc does with them, in the kernel's own list.
func TestNoDeviceRules(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		calls, err := g.Devices(nil)
		must(t, calls, err)
		p := newProber(t, nodes...)
		put(t, g, p.pid)
		p.wants("yes", "rw c 1:3", "m c 1:11")
		p.wants("no", "r c 1:11", "w c 1:11")
		if f := g.Folders[0]; f.Version == 1 {
			list := strings.Split(read(t, f.File("devices.list")), "\n")
			slices.Sort(list)
			want := strings.Split(standard, "\n")
			slices.Sort(want)
			if !slices.Equal(list, want) {
				t.Errorf("devices.list has %q, runc writes %q", list, want)
			}
		}
	})
}

func TestAllDevicesButOne(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		calls, err := g.Devices(parseRules(t, "allow a *:* rwm, deny c 1:11 w"))
		must(t, calls, err)
		p := newProber(t, nodes...)
		put(t, g, p.pid)
		p.wants("yes", "rw c 1:3", "r c 1:11", "m c 1:11")
		p.wants("no", "w c 1:11", "rw c 1:11")
	})
}

// TestChangeDevicesInKernel changes the rules of a process that is in the group, while another one of the group never
// stops to try what neither rules allow, and to use what both do.
func TestChangeDevicesInKernel(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		const old, now = "allow c 1:11 r", "deny a *:* rwm, allow c 1:* w"
		p, watch := newProber(t, nodes...), newProber(t, nodes...)
		calls, err := g.Devices(parseRules(t, old))
		must(t, calls, err)
		put(t, g, p.pid)
		put(t, g, watch.pid)
		p.wants("yes", "r c 1:11")
		p.wants("no", "w c 1:11")
		stop, done := make(chan bool), make(chan int)
		go func() {
			wrong := 0
			for {
				select {
				case <-stop:
					done <- wrong
					return
				default:
					if watch.try("rw", kmsg) != "no" || watch.try("rw", null) != "yes" {
						wrong++
					}
				}
			}
		}()
		for range 10 {
			calls, err = g.ChangeDevices(parseRules(t, old), parseRules(t, now))
			must(t, calls, err)
			p.wants("yes", "w c 1:11")
			p.wants("no", "r c 1:11")
			calls, err = g.ChangeDevices(parseRules(t, now), parseRules(t, old))
			must(t, calls, err)
			p.wants("yes", "r c 1:11")
			p.wants("no", "w c 1:11")
		}
		close(stop)
		if wrong := <-done; wrong != 0 {
			t.Errorf("%d times /dev/kmsg could be opened for both, or /dev/null could not", wrong)
		}
		checkAttached(t, g, 1)
	})
}

// TestChangeDevicesUndo takes calls back in reverse, as a program does when a later call fails.
func TestChangeDevicesUndo(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		old, now := parseRules(t, "allow c 1:11 r"), parseRules(t, "allow c 1:11 w, allow c 7:1 rw")
		calls, err := g.Devices(old)
		must(t, calls, err)
		p := newProber(t, nodes...)
		put(t, g, p.pid)
		calls, err = g.ChangeDevices(old, now)
		must(t, calls, err)
		p.wants("yes", "w c 1:11")
		for _, c := range slices.Backward(calls) {
			if err := c.Request.(kernel.Undoer).Undo(&kernel.Host{}); err != nil {
				t.Fatal(err)
			}
		}
		p.wants("yes", "r c 1:11")
		p.wants("no", "w c 1:11")
		checkAttached(t, g, 1)
	})
}

// TestDeviceLineUndoGone takes a line back in a group that was removed meanwhile, and in one that takes nothing.
func TestDeviceLineUndoGone(t *testing.T) {
	dir := t.TempDir()
	line := DeviceLine{dir + "/gone", DeviceRule{true, DeviceSet{'c', 1, 11}, full}}
	if err := line.Undo(&kernel.Host{}); err != nil {
		t.Error(err)
	}
	line.Path = dir
	if err := os.Mkdir(dir+"/devices.deny", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := line.Undo(&kernel.Host{}); err == nil {
		t.Error("a folder took a line")
	}
}

// checkAttached counts our programs at a v2 folder.
func checkAttached(t *testing.T, g Group, want int) {
	t.Helper()
	f, ok := g.Unified()
	if !ok {
		return
	}
	dir, err := os.Open(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	found, err := kernel.QueryBPF(int(dir.Fd()), unix.BPF_CGROUP_DEVICE, programName)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range found {
		unix.Close(fd)
	}
	if len(found) != want {
		t.Errorf("%d of our programs are attached, want %d", len(found), want)
	}
}

// TestForeignDeviceProgram finds that a program of somebody else goes on deciding when ours is attached and replaced.
func TestForeignDeviceProgram(t *testing.T) {
	g := unifiedGroup(t)
	code, err := machineCode(bare(t, "allow a *:* rwm, deny c 1:11 w"))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := kernel.LoadBPF(unix.BPF_PROG_TYPE_CGROUP_DEVICE, "somebody_else", code)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dir, err := os.Open(g.Folders[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := kernel.AttachBPF(int(dir.Fd()), fd, unix.BPF_CGROUP_DEVICE); err != nil {
		t.Fatal(err)
	}
	p := newProber(t, nodes...)
	put(t, g, p.pid)
	calls, err := g.Devices(parseRules(t, "allow c 1:11 rw"))
	must(t, calls, err)
	calls, err = g.ChangeDevices(parseRules(t, "allow c 1:11 rw"), parseRules(t, "allow a *:* rwm"))
	must(t, calls, err)
	p.wants("yes", "r c 1:11", "rw c 1:5")
	p.wants("no", "w c 1:11")
	checkAttached(t, g, 1)
}

// TestManyDeviceRules loads a program of a thousand rules: the verifier has to get through all its paths.
func TestManyDeviceRules(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		var text []string
		for minor := range 1000 {
			text = append(text, fmt.Sprintf("allow b 8:%d %s", minor, []string{"r", "rw", "w", "rwm"}[minor%4]))
		}
		calls, err := g.Devices(parseRules(t, strings.Join(append(text, "allow c 1:11 w"), ",")))
		must(t, calls, err)
		p := newProber(t, nodes...)
		put(t, g, p.pid)
		p.wants("yes", "w c 1:11")
		p.wants("no", "r c 1:11")
	})
}

// TestDevicesBelow denies to a group what the one above it has not.
func TestDevicesBelow(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		calls, err := g.Devices(nil)
		must(t, calls, err)
		below := Group{Folders: []Folder{g.Folders[0]}}
		below.Folders[0].Path += "/below"
		if err := os.Mkdir(below.Folders[0].Path, 0o755); err != nil {
			t.Fatal(err)
		}
		calls, err = below.Devices(parseRules(t, "allow c 1:11 rw"))
		err = carryOut(t, calls, err)
		if g.Folders[0].Version == 2 { // both programs are asked
			if err != nil {
				t.Fatal(err)
			}
			p := newProber(t, nodes...)
			put(t, below, p.pid)
			p.wants("no", "r c 1:11")
			p.wants("yes", "rw c 1:3")
			return
		}
		file := below.Folders[0].File("devices.allow")
		if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), `write "c 1:11 rw" to `+file) || !strings.Contains(err.Error(), "the cgroup above allows less itself") {
			t.Errorf("%v, want EPERM with %s and the value", err, file)
		}
		calls, err = g.ChangeDevices(nil, parseRules(t, "allow a *:* rwm"))
		err = carryOut(t, calls, err)
		if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "there are cgroups below it") {
			t.Errorf("%v, want EINVAL for a group with another below", err)
		}
	})
}

// TestRandomDevices holds random rules against the kernel's answers.
func TestRandomDevices(t *testing.T) {
	onVersions(t, func(t *testing.T, g Group) {
		p := newProber(t, nodes...)
		put(t, g, p.pid)
		r := rand.New(rand.NewPCG(3, 4))
		for done := 0; done < 30; {
			rules := randomRules(r)
			for i := range rules { // numbers that the nodes have: 1:3, 1:5, 1:11
				if rules[i].Major > 0 {
					rules[i].Major = 1
				}
				if rules[i].Minor > 0 {
					rules[i].Minor = []int64{3, 5, 11}[rules[i].Minor-1]
				}
			}
			calls := program(DeviceProgram{Path: g.Folders[0].Path, Rules: rules})
			if g.Folders[0].Version == 1 {
				list, err := listOf(rules)
				if err != nil {
					continue
				}
				calls = g.Folders[0].writes(list.lines())
			}
			done++
			must(t, calls, nil)
			for _, d := range nodes {
				for _, way := range []string{"r", "w", "rw", "m"} {
					access := map[string]Access{"r": ReadDevice, "w": WriteDevice, "rw": ReadDevice | WriteDevice, "m": MakeDevice}[way]
					want := map[bool]string{true: "yes", false: "no"}[answered(rules, request{d, access})]
					if got := p.try(way, d); got != want {
						t.Fatalf("%v: %s %s: %s, want %s", rules, way, d, got, want)
					}
				}
			}
		}
	})
}
