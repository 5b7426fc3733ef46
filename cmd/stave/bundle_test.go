// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
	"stave/internal/witness"
)

// nobody is the ordinary user of these tests.
const nobody = 65534

// folder makes a folder that other users may enter, and removes it when the test ends.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bundle")
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

// newBundle makes a bundle with a root file system of busybox and the usual configuration, without
// terminal, changed. Its command is the script.
func newBundle(t *testing.T, script string, changes ...func(*specs.Spec)) string {
	t.Helper()
	dir := folder(t)
	makeRoot(t, filepath.Join(dir, "rootfs"))
	spec := container.Example()
	spec.Process.Terminal = false
	spec.Process.Args = []string{"sh", "-c", script}
	spec.Linux.CgroupsPath = "/stave-test-" + filepath.Base(dir) // by default it is the container's id, which is random
	for _, c := range changes {
		c(spec)
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "config.json"), string(data), 0o644)
	return dir
}

// makeRoot makes a root file system of one static program, busybox.
func makeRoot(t *testing.T, root string) {
	t.Helper()
	witness.Need(t, "command:busybox")
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "etc", "proc", "dev", "sys", "tmp", "data", "home"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(root, "bin/busybox"), string(program), 0o755)
	put(t, filepath.Join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001:Ann:/home:/bin/sh\n", 0o644)
	put(t, filepath.Join(root, "etc/group"), "root:x:0:\nstaff:x:50:ann\nann:x:1001:\n", 0o644)
	for applet := range strings.FieldsSeq("sh cat ls grep find sort stat readlink id hostname mount mkdir sleep head stty tty tr cut dd env kill touch true pwd rm mknod mkfifo") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// put writes a file, with its mode whatever the umask is.
func put(t *testing.T, name, data string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(name, []byte(data), mode), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
}

// give makes a user the owner of everything in a folder.
func give(t *testing.T, dir string, uid int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, uid))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// result is what became of a command.
type result struct {
	out, err string
	code     int // as a shell has it: 128+n for a command that signal n ended
}

// run runs a command to its end, at most half a minute, and returns what it wrote and its exit code.
func run(t *testing.T, c *exec.Cmd) result {
	t.Helper()
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	c.WaitDelay = 5 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wait(t, c)
	return result{out.String(), errs.String(), code(c)}
}

// wait waits for a command, and kills it after half a minute.
func wait(t *testing.T, c *exec.Cmd) {
	t.Helper()
	alarm := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	c.Wait()
	if !alarm.Stop() {
		t.Errorf("%s had to be killed after half a minute", c)
	}
}

// code returns the exit code of a command that has ended.
func code(c *exec.Cmd) int {
	if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return c.ProcessState.ExitCode()
}

// as makes a command run as a user who is in no other group, in the folder /.
func as(uid uint32, c *exec.Cmd) *exec.Cmd {
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return c
}

// staveRun is stave run with arguments.
func staveRun(args ...string) *exec.Cmd {
	return exec.Command(stave, slices.Concat([]string{"run"}, args)...)
}

// staveExplain is stave explain with arguments.
func staveExplain(args ...string) *exec.Cmd {
	return exec.Command(stave, slices.Concat([]string{"explain"}, args)...)
}
