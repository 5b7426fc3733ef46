// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// TestCommandThroughDescriptor executes a program of the host through each descriptor that a runtime could have left open:
// execve(2) resolves the command, the interpreter of its #! line and that of a hook before it closes anything
// (CVE-2024-21626).
func TestCommandThroughDescriptor(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	outside := folder(t)
	makeRoot(t, outside) // /bin/true of the host
	dir := newBundle(t, "exec sleep 1000")
	up := strings.Repeat("../", 20)
	for fd := 3; fd <= 24; fd++ {
		path := fmt.Sprintf("/proc/self/fd/%d/%s%s/bin/busybox", fd, up, strings.TrimPrefix(outside, "/"))
		if err := os.Symlink(path, fmt.Sprintf("%s/rootfs/bin/link%d", dir, fd)); err != nil {
			t.Fatal(err)
		}
		put(t, fmt.Sprintf("%s/rootfs/bin/script%d", dir, fd), "#!"+path+" true\n", 0o755)
	}
	k := create(t, dir)
	must(t, "start", k.id)
	for fd := 3; fd <= 24; fd++ {
		for _, command := range [][]string{{fmt.Sprintf("/bin/link%d", fd), "true"}, {fmt.Sprintf("/bin/script%d", fd)}} {
			if got := do(t, append([]string{"exec", k.id}, command...)...); got.code == 0 {
				t.Errorf("exec: %v has executed a program of the host", command)
			}
			spec := read(t, dir)
			spec.Process.Args = command
			tryCommand(t, dir, "as command", spec)
			spec = read(t, dir)
			spec.Process.Args = []string{"true"}
			spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: command[0], Args: command}}}
			tryCommand(t, dir, "as hook", spec)
		}
	}
}

// tryCommand runs, and creates and starts, a container that must not come to its end.
func tryCommand(t *testing.T, dir, how string, spec *specs.Spec) {
	t.Helper()
	bundle := filepath.Join(dir, "try")
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Root.Path = filepath.Join(dir, "rootfs")
	write(t, bundle, spec)
	id := "stave-test-try-" + filepath.Base(dir)
	if got := do(t, "run", "--bundle", bundle, id); got.code == 0 {
		t.Errorf("run, %s: %v %v has executed a program of the host", how, spec.Process.Args, spec.Hooks)
	}
}
