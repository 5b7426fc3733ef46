// SPDX-License-Identifier: Apache-2.0

// Command 01-process starts a command as a shell does: fork, a few calls in the child, execve, wait. It ends with the
// command's exit code. There is nothing of a container yet, but all the rest is built on this.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// look is the command if none is given: the files that it was started with.
const look = `echo "I am process $$, started by $PPID, with these files open:"; ls -l /proc/$$/fd`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	inherit := flag.Bool("inherit", false, "let the command inherit the descriptors of this program")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *inherit, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "01-process:", err)
	}
	os.Exit(code)
}

// start opens a file, as any program does, and forgets to say that it is no business of the command's (O_CLOEXEC).
func start(args []string, inherit, explained bool) (int, error) {
	forgotten, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return 1, fmt.Errorf("open /: %w", err)
	}
	defer unix.Close(forgotten)
	p := plan(args, inherit)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// plan lists the calls. A clone without flags is fork(2): the child is a copy of its parent and sees all that it sees.
func plan(args []string, inherit bool) kernel.Program {
	inside := command(args)
	if inherit {
		inside = inside[1:] // without the call that closes the descriptors
	}
	return kernel.Program{
		Host:      []kernel.Call{{Request: kernel.Clone{}, Why: "a command needs a process"}},
		Container: inside,
	}
}
