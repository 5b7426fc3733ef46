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

// change is one change of a configuration.
type change func(*specs.Spec)

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

// newBundle makes a bundle with a root file system of busybox and stave-oci's example, without
// terminal, changed. Its command is the script.
func newBundle(t *testing.T, script string, changes ...change) string {
	t.Helper()
	dir := folder(t)
	makeRoot(t, filepath.Join(dir, "rootfs"))
	spec := container.Example()
	spec.Process.Terminal = false
	spec.Process.Args = []string{"sh", "-c", script}
	write(t, dir, spec, changes...)
	return dir
}

// write changes a configuration and writes it into a bundle.
func write(t *testing.T, dir string, spec *specs.Spec, changes ...change) {
	t.Helper()
	for _, c := range changes {
		c(spec)
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "config.json"), string(data), 0o644)
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
	put(t, filepath.Join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	put(t, filepath.Join(root, "etc/group"), "root:x:0:\n", 0o644)
	put(t, filepath.Join(root, "bin/script"), "#!/bin/sh\necho from a script\n", 0o755)
	for applet := range strings.FieldsSeq("sh cat ls grep find sort stat readlink id hostname umount mount mknod chroot sleep head wc stty touch true false env cp mkdir kill ps tr dd ln cut rm sync") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// put writes a file.
func put(t *testing.T, name, data string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // whatever the umask is
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
	alarm := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
	c.Wait()
	if !alarm.Stop() {
		t.Errorf("%s had to be killed after half a minute", c)
	}
	return result{out.String(), errs.String(), code(c)}
}

// code returns the exit code of a command that has ended.
func code(c *exec.Cmd) int {
	if status := c.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		return 128 + int(status.Signal())
	}
	return c.ProcessState.ExitCode()
}

// oci is stave-oci run of a bundle.
func oci(dir string, options ...string) *exec.Cmd {
	args := slices.Concat([]string{"--root", root, "run", "--bundle", dir}, options, []string{filepath.Base(dir)})
	return exec.Command(staveOCI, args...)
}
