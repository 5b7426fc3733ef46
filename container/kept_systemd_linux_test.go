// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestSystemdUpdate changes the limits of a container in a scope of systemd: they hold also after systemd has read its
// configuration anew. Then it pauses the container, and deletes it by force when its state can't be read any more.
func TestSystemdUpdate(t *testing.T) {
	witness.Need(t, "systemd")
	root, id := t.TempDir(), fmt.Sprintf("stave-test-kept-%d", os.Getpid())
	b := insideBundle(t, t.TempDir())
	b.Spec.Linux.CgroupsPath = ":test:" + id
	b.Spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: new(int64(64 << 20))}}
	b.data = fmt.Appendf(nil, `{"ociVersion":"1.0.2","linux":{"cgroupsPath":%q}}`, b.Spec.Linux.CgroupsPath)
	if err := Create(b, Options{ID: id, Root: root, Systemd: true}); err != nil {
		t.Fatal(err)
	}
	i, err := Find(root, id)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := i.life()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Wait4(l.pid, nil, 0, nil)
	folder := "/sys/fs/cgroup/system.slice/test-" + id + ".scope/"
	want := map[string]string{"memory.max": "50331648", "pids.max": "33", "cpu.max": "33333 100000"} // systemd has whole percents
	look := func(when string, want map[string]string) {
		t.Helper()
		for file, value := range want {
			if text, err := os.ReadFile(folder + file); err != nil || strings.TrimSpace(string(text)) != value {
				t.Errorf("%s: %s is %q (%v), want %q", when, file, text, err, value)
			}
		}
	}
	err = i.Update(&specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: new(int64(48 << 20))}, Pids: &specs.LinuxPids{Limit: new(int64(33))},
		CPU: &specs.LinuxCPU{Quota: new(int64(33_333)), Period: new(uint64(100_000))},
	})
	if err != nil {
		t.Fatal(err)
	}
	look("after the update", want)
	if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("systemctl", "show", "--property", "MemoryMax,TasksMax", "test-"+id+".scope").Output(); err != nil ||
		!strings.Contains(string(out), "MemoryMax=50331648\n") || !strings.Contains(string(out), "TasksMax=33\n") {
		t.Errorf("systemd says %q (%v)", out, err)
	}
	delete(want, "cpu.max") // as systemd writes it, or as it was
	look("after the reload", want)
	if err := i.Pause(); err != nil {
		t.Error(err)
	}
	look("after the pause", map[string]string{"cgroup.freeze": "1"})
	i.Close()
	if err := os.WriteFile(filepath.Join(root, id, stateName), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if i, err = Find(root, id); err == nil || i == nil {
		t.Fatalf("found %v, %v", i, err)
	}
	defer i.Close()
	if err := i.Delete(true, func(text string) { t.Error(text) }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) || l.alive() {
		t.Errorf("the cgroup: %v; its process lives: %v", err, l.alive())
	}
}
