// SPDX-License-Identifier: Apache-2.0

// Command 04-pivot starts a command with another folder as its "/", as 02-chroot does, but in a mount namespace in which
// nothing else is left. The program /bin/escape, the same as there, finds no way out.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
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
		fmt.Fprintln(os.Stderr, "04-pivot:", err)
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

// plan lists the calls. chroot(2) only moves the place where paths begin; pivot_root(2) changes what there is: the folder
// becomes the topmost mount, and the old one is detached, so that no path leads to it.
func plan(args []string, root string) kernel.Program {
	host, inside := rights(namespaces.Config{New: unix.CLONE_NEWNS}).Plan()
	inside = append(inside, chroot.Root{Path: root}.Calls()...)
	inside = append(inside, kernel.Call{Request: chroot.Pivot{}, Why: "the host's files are not above the root, they are gone"})
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
