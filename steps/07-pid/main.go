// SPDX-License-Identifier: Apache-2.0

// Command 07-pid starts a command as process 1 of a PID namespace: it sees only its own descendants, and has the duties of
// init. With -init a small program takes them over, and the command is its child.
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

// look is the command if none is given: it leaves an orphan behind and becomes sleep, which knows nothing of orphans, while a
// child shows what becomes of it. Z is a zombie: a process that has ended and that nobody has waited for.
const look = `(sh -c "sleep 0.1 & exit"; sleep 0.5; echo "All processes that I see, with state and parent:"
for p in /proc/[0-9]*; do read n name state parent rest <$p/stat; echo $n $name $state $parent; done) & exec sleep 1`

// main plans, and explains or runs. It ends with the command's exit code. Under the name init it is another program.
func main() {
	if filepath.Base(os.Args[0]) == "init" {
		os.Exit(serve(os.Args[1:]))
	}
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	init := flag.Bool("init", false, "run the command below a small init")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, *init, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "07-pid:", err)
	}
	os.Exit(code)
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, init, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	finds := files(root)
	if init {
		self, err := os.Executable()
		if err != nil {
			return 1, err
		}
		finds.Mounts = append(finds.Mounts, lend(self))
		args = append([]string{initPath}, args...)
	}
	p := plan(args, finds)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// lend binds a program of the host to the container, read-only: root in there shall not change it.
func lend(program string) chroot.MountPoint {
	return chroot.MountPoint{
		Type: "bind", Source: program, Target: initPath, File: true, Why: "process 1 reaps orphans and passes signals on",
		Options: chroot.Options{Flags: unix.MS_BIND | unix.MS_RDONLY},
	}
}

// plan lists the calls: those of step 05, with one flag more in the clone. The child of that clone is process 1.
func plan(args []string, finds chroot.Root) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(finds)...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
