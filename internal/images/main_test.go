// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness, with the program built once for all of them.
func TestMain(m *testing.M) {
	witness.Main(suite{m})
}

// program is the path of stave. suite.Run sets it before the first test.
var program string

// suite builds the program, runs the tests, and removes the program.
type suite struct{ tests witness.Runner }

// Run is what witness.Main calls in the process that runs the tests.
func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "stave")
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "stave/cmd/stave")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if built := os.Getenv("STAVE_PROGRAMS"); built != "" { // in an emulated machine building takes minutes
		build = exec.Command("cp", filepath.Join(built, "stave"), program)
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build stave: %v\n%s", err, out)
		return 1
	}
	return s.tests.Run()
}

// stave is a command of the program with a state folder.
func stave(state string, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), "STAVE_STATE="+state)
	return c
}

// result is what a command did.
type result struct {
	out, err string
	code     int
}

// run runs a command to its end.
func run(t testing.TB, c *exec.Cmd) result {
	t.Helper()
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), said.String(), c.ProcessState.ExitCode()}
}

// must runs a command that has to succeed, and returns its output without the last newline.
func must(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	got := run(t, c)
	if got.code != 0 {
		t.Fatalf("%q: exit code %d: %s", c.Args, got.code, got.err)
	}
	return strings.TrimSuffix(got.out, "\n")
}

// memory is a folder on a file system in memory, of a size such as "64m": it is as quick on every machine, and can be full.
func memory(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=755"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
