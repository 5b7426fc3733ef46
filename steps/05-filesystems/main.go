// SPDX-License-Identifier: Apache-2.0

// Command 05-filesystems starts a command in a root folder that has what programs expect: /proc, /dev with its devices,
// /sys. What of these belongs to the machine and not to the command is hidden or made read-only.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
)

// look is the command if none is given.
const look = `echo "My mounts:"; while read id parent device root point options rest; do echo $point $options; done </proc/self/mountinfo; echo "My devices:"; ls -l /dev
echo "Masked, so empty: $(wc -c </proc/timer_list) bytes. Read-only:"; echo changed >/proc/sys/kernel/hostname; echo "Processes that I see: $(ls /proc | grep -c "^[0-9]")"`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "05-filesystems:", err)
	}
	os.Exit(code)
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, root)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// plan lists the calls: those of step 04, with mounts, devices, links and masks (files.go) before the change of root. An ordinary user
// may mount proc and sysfs only for a PID and a network namespace that he owns; steps 06 and 07 are about such.
func plan(args []string, root string) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWPID | unix.CLONE_NEWNET
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
