// SPDX-License-Identifier: Apache-2.0

// Command 08-join starts a command in all the namespaces of a process that runs already, as docker exec does. Without the
// number of one it starts a container for it, and ends that afterwards.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
)

// look is the command if none is given.
const look = `echo "I am process $$ on $(hostname). All that I see:"; for p in /proc/[0-9]*; do read n name rest <$p/stat; echo $n $name; done`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	pid := flag.Int("pid", 0, "the `number` of the process to join; without it, a container is started")
	root := flag.String("root", "", "the `folder` that becomes / of the container that is started; without it, a small one is made")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, *pid, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "08-join:", err)
	}
	os.Exit(code)
}

// start finds or starts the process to join, and explains or runs.
func start(args []string, given string, pid int, explained bool) (int, error) {
	if pid == 0 {
		root, remove, err := rootFolder(given)
		if err != nil {
			return 1, err
		}
		defer remove()
		runtime.LockOSThread() // as run does, and for as long
		process, err := plan([]string{"sleep", "3600"}, root).Start(kernel.Options{})
		if err != nil {
			return refused(err)
		}
		defer process.Wait() // the error would be that there is no such child
		defer unix.Kill(process.Pid, unix.SIGKILL)
		pid = process.Pid
	}
	joins, err := different(pid)
	if err != nil {
		return 1, err
	}
	p := join(args, joins)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// different lists the namespaces of a process that are not those of this one. Joining one's own is needless, and for the
// user namespace forbidden (setns(2)).
func different(pid int) ([]namespaces.Join, error) {
	var joins []namespaces.Join
	for _, kind := range namespaces.Kinds() {
		theirs, err := os.Readlink(kind.Path(pid))
		if err != nil {
			return nil, err
		}
		ours, err := os.Readlink(kind.Path(os.Getpid()))
		if err != nil {
			return nil, err
		}
		if theirs != ours {
			joins = append(joins, namespaces.Join{Kind: kind, Path: kind.Path(pid)})
		}
	}
	return joins, nil
}

// join lists the calls that enter namespaces. The mount namespace brings its "/" along, so there is no change of root; the
// PID namespace takes only children in, so the program goes on in one.
func join(args []string, joins []namespaces.Join) kernel.Program {
	host, inside := namespaces.Config{Joins: joins}.Plan()
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}

// plan lists the calls of the container: those of step 07.
func plan(args []string, root string) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
