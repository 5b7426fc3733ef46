// SPDX-License-Identifier: Apache-2.0

// Command 02-chroot starts a command with another folder as its "/". It is the oldest way to hide files from a process, and
// no prison: the program /bin/escape, which the step puts there, walks out of it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"stave/chroot"
	"stave/kernel"
)

// look is the command if none is given.
const look = `echo "My root has these folders:"; ls /; echo "After the escape:"; exec escape ls /`

// main plans, and explains or runs. It ends with the command's exit code. Under the name escape it is another program.
func main() {
	if filepath.Base(os.Args[0]) == "escape" {
		os.Exit(escape(os.Args[1:]))
	}
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "02-chroot:", err)
	}
	os.Exit(code)
}

// start makes the root folder, with the escape in it, and explains or runs.
func start(args []string, given string, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	if given == "" {
		if err := copyProgram("/proc/self/exe", filepath.Join(root, "bin/escape")); err != nil {
			return 1, err
		}
	}
	p := plan(args, root)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// plan lists the calls: those of step 01, and one before them.
func plan(args []string, root string) kernel.Program {
	inside := []kernel.Call{{Request: chroot.Chroot{Path: root}, Why: "paths begin at this folder, for this process and its children"}}
	return kernel.Program{
		Host:      []kernel.Call{{Request: kernel.Clone{}, Why: "only the child's root is to change"}},
		Container: append(inside, command(args)...),
	}
}
