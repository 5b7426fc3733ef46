// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
	"stave/kernel"
)

// bindOver binds a folder over another, as a driver mounts a root file system.
type bindOver struct{ from, to string }

// String names both.
func (b bindOver) String() string { return "bind " + b.from + " over " + b.to }

// Shell is mount --bind.
func (b bindOver) Shell() string { return "mount --bind " + kernel.Quote(b.from, b.to) }

// Assemble is mount(2).
func (b bindOver) Assemble(a *kernel.Assembler) {
	a.Sys(unix.SYS_MOUNT, kernel.Str(b.from), kernel.Str(b.to), kernel.Int(0), kernel.Int(unix.MS_BIND), kernel.Int(0))
}

// TestMountsMakeTheRoot runs a container whose root folder is empty on the host: its file system is mounted in the container alone,
// after the tie to the host is cut. What the plan needs to know of it is read through View.
func TestMountsMakeTheRoot(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	dir := t.TempDir()
	root, empty := filepath.Join(dir, "files"), filepath.Join(dir, "merged")
	for _, folder := range []string{filepath.Join(root, "bin"), filepath.Join(root, "etc"), filepath.Join(root, "tmp"), empty} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("guest:x:1234:5678::/home/guest:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := Settings{
		ID: "mounts", Rootfs: empty, View: root, User: "guest", Mounts: []kernel.Call{{Request: bindOver{root, empty}, Why: "a test"}},
		Args: []string{"/bin/busybox", "sh", "-c", `[ "$(/bin/busybox id -u)" = 1234 ] && [ "$HOME" = /home/guest ] && exit 7`},
	}
	b, err := s.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Explain(b, Options{ID: "mounts"})
	if err != nil {
		t.Fatal(err)
	}
	at := func(part string) int {
		return slices.IndexFunc(lines, func(l Line) bool { return l.Side == kernel.ContainerSide && strings.Contains(l.Call, part) })
	}
	if cut, made, bound := at("make / rslave"), at("bind "+root), at("over itself"); cut < 0 || cut > made || made > bound {
		t.Errorf("the root is made in call %d, after the cut from the host in %d and before it is bound in %d", made, cut, bound)
	}
	if code, err := Run(b, RunOptions{Options: Options{ID: "mounts"}}); code != 7 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("the host sees the container's root: %v, %v", entries, err)
	}
	b.Spec.Linux.Namespaces = slices.DeleteFunc(b.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.MountNamespace })
	if _, err := ReadFacts(b, Options{ID: "mounts"}); err == nil || !strings.Contains(err.Error(), "mount namespace of its own") {
		t.Errorf("without a mount namespace: %v", err)
	}
}
