// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// insideArgument makes this program a container's command.
const insideArgument = "look inside"

// inside writes what the container sees of its cgroup into /out/seen, and ends when /out/go is there.
func inside() int {
	var seen strings.Builder
	for _, file := range []string{"/proc/self/cgroup", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.swap.max", "/sys/fs/cgroup/pids.max"} {
		data, err := os.ReadFile(file)
		if err != nil {
			data = []byte(err.Error() + "\n")
		}
		seen.Write(data)
	}
	err := os.WriteFile("/out/new", []byte(seen.String()), 0o644)
	if err = errors.Join(err, os.Rename("/out/new", "/out/seen")); err != nil {
		return 1
	}
	gate, err := os.Open("/out/go") // a FIFO: this waits for its other end
	if err != nil {
		return 2
	}
	defer gate.Close()
	if _, err := io.ReadAll(gate); err != nil {
		return 3
	}
	return 42
}

// TestSystemdRun runs a container in a scope of systemd: it sees its limits from the start, is where systemd
// says, and leaves no unit and no cgroup.
func TestSystemdRun(t *testing.T) {
	witness.Need(t, "systemd")
	dir := t.TempDir()
	b := insideBundle(t, dir)
	id := fmt.Sprintf("stave-test-%d", os.Getpid())
	b.Spec.Linux.CgroupsPath = ":test:" + id
	b.Spec.Linux.Resources = &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(80 << 20))},
		Pids:    &specs.LinuxPids{Limit: new(int64(50))},
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
	}
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		code, err := Run(b, RunOptions{Options: Options{ID: id, Systemd: true}})
		ended <- result{code, err}
	}()
	var seen []byte
	for end := time.Now().Add(2 * time.Minute); seen == nil; time.Sleep(20 * time.Millisecond) { // an emulated machine is slow
		select {
		case r := <-ended:
			t.Fatalf("the container ended with %d, %v", r.code, r.err)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("the container has not looked in two minutes")
		}
		seen, _ = os.ReadFile(filepath.Join(dir, "out/seen")) // it comes by a rename
	}
	if want := "0::/\n67108864\n16777216\n50\n"; string(seen) != want {
		t.Errorf("the container sees %q, want %q", seen, want)
	}
	folder := "/sys/fs/cgroup/system.slice/test-" + id + ".scope"
	if pids, err := os.ReadFile(folder + "/cgroup.procs"); err != nil || len(strings.Fields(string(pids))) != 1 {
		t.Errorf("%s has the processes %q (%v), want one", folder, pids, err)
	}
	gate, err := os.OpenFile(filepath.Join(dir, "out/go"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	gate.Close()
	if r := <-ended; r.code != 42 || r.err != nil {
		t.Errorf("exit code %d, %v", r.code, r.err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", folder, err)
	}
}

// insideBundle makes a bundle whose command is this program, and in dir/out the folder and the FIFO that it uses.
func insideBundle(t *testing.T, dir string) *Bundle {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	for _, folder := range []string{"rootfs", "rootfs/bin", "out"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "rootfs/bin/test"), self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(out, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := Example()
	spec.Process.Terminal = false
	spec.Process.Args = []string{"/bin/test", insideArgument}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/out", Type: "bind", Source: out, Options: []string{"bind"}})
	spec.Root.Readonly = false
	return &Bundle{Dir: dir, Spec: spec}
}
