// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness, with the programs built once for all of them.
func TestMain(m *testing.M) {
	witness.Main(suite{m})
}

// stave is the path of the program under test, with stave-lab beside it. suite.Run sets it before the
// first test.
var stave string

// suite builds the programs, runs the tests, and removes the programs.
type suite struct{ tests witness.Runner }

// Run is what witness.Main calls in the process that runs the tests. STAVE_STATE moves what stave keeps
// of its containers away from the machine's own state folder.
func (s suite) Run() int {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run it as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w -X main.version=1.2.3-test", "-o", dir+"/", ".", "../stave-lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if built := os.Getenv("STAVE_PROGRAMS"); built != "" { // in an emulated machine building takes minutes
		build = exec.Command("cp", filepath.Join(built, "stave"), filepath.Join(built, "stave-lab"), dir)
	}
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build stave and stave-lab: %v\n%s", err, out)
		return 1
	}
	stave = filepath.Join(dir, "stave")
	if err := os.Setenv("STAVE_STATE", filepath.Join(dir, "state")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return s.tests.Run()
}
