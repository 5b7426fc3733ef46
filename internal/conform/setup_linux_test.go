// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"stave/internal/witness"
)

// patience is how long one program of the validation and one command of an engine may take, emulated and on a busy
// machine.
const patience = 4 * time.Minute

// built is the folder of what the Makefile has built for this tier; without it the test is skipped.
func built(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("STAVE_CONFORM")
	if dir == "" {
		t.Skip("needs conform: run make conform")
	}
	witness.Need(t, "root", "command:unshare")
	return dir
}

// tested is the runtime to be tested.
func tested(t *testing.T) string {
	t.Helper()
	name := os.Getenv("STAVE_RUNTIME")
	if name == "" {
		name = filepath.Join(built(t), "stave-oci")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// inView runs a command in namespaces of its own, where it sees a layout of cgroups (testdata/view.sh), and returns its
// output and exit code.
func inView(t *testing.T, shown layout, dir string, env []string, command ...string) (string, int) {
	t.Helper()
	script, err := filepath.Abs("testdata/view.sh")
	if err != nil {
		t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", script, string(shown)}
	c := exec.CommandContext(limit, "unshare", append(args, command...)...)
	var output bytes.Buffer
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, append(os.Environ(), env...), &output, &output
	c.WaitDelay = 10 * time.Second
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if limit.Err() != nil {
		fmt.Fprintf(&output, "killed after %v\n", patience)
	}
	return output.String(), c.ProcessState.ExitCode()
}

// node is a device node.
type node struct {
	Device       uint64
	Mode         os.FileMode
	Owner, Group int
}

// devices are the nodes below /dev that containers get, or a bind of. A runtime that follows a bind the wrong way changes
// them for the whole machine.
func devices(t *testing.T) map[string]node {
	t.Helper()
	all := map[string]node{}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "fuse", "net/tun"} {
		name = "/dev/" + name
		info, err := os.Stat(name)
		if err != nil {
			continue // the machine has none
		}
		s := info.Sys().(*syscall.Stat_t)
		all[name] = node{Device: s.Rdev, Mode: info.Mode(), Owner: int(s.Uid), Group: int(s.Gid)}
	}
	return all
}

// temporary is a temporary folder that root of a user namespace may enter, too.
func temporary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// brief is a temporary folder with a short name: with a long one podman does not find the exit codes of its containers.
func brief(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "stave")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
