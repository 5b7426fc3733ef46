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
	if filepath.Base(os.Args[0]) == "criu" { // a test has put it there, see fakeCRIU
		os.Exit(actCRIU())
	}
	witness.Main(suite{m})
}

// staveOCI is the path of the program under test, inside that of a program which runs in its containers, and root the folder
// in which the containers are kept. suite.Run sets them before the first test.
var staveOCI, inside, root string

// suite builds the programs, runs the tests, and removes the programs.
type suite struct{ tests witness.Runner }

// Run is what witness.Main calls in the process that runs the tests.
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
	staveOCI, inside, root = filepath.Join(dir, "stave-oci"), filepath.Join(dir, "inside"), filepath.Join(dir, "containers")
	if err := os.Mkdir(root, 0o777); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Chmod(root, 0o1777); err != nil { // each user has containers of his own there
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, args := range [][]string{{staveOCI, "."}, {inside, "./testdata/inside"}} {
		build := exec.Command("go", append([]string{"build", "-buildvcs=false", "-ldflags=-s -w -X main.version=1.2.3-test", "-o"}, args...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if built := os.Getenv("STAVE_PROGRAMS"); built != "" { // in an emulated machine building takes minutes
			build = exec.Command("cp", filepath.Join(built, filepath.Base(args[0])), args[0])
		}
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", args[1], err, out)
			return 1
		}
	}
	return s.tests.Run()
}
