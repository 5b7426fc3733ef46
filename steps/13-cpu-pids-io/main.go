// SPDX-License-Identifier: Apache-2.0

// Command 13-cpu-pids-io starts a command in a cgroup that limits processor time, processes and writing to disk, and stops,
// wakes, measures or kills one that runs.
package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
	"stave/namespaces"
)

// look is the command if none is given: a shell that forks until it may not, in a subshell as that ends the shell, and
// then counts. Without a limit it stops at 200.
const look = `echo "I start processes until I may not."; (i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 1 & done); set -- /proc/[0-9]*; echo "I have come to $#."
echo "Now I count as fast as I can."; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done`

// main acts on a running command, or plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	name := flag.String("name", strings.ToLower(rand.Text()[:8]), "the `name` of the cgroup")
	do := flag.String("do", "", "freeze, thaw, stats or kill: what to do with the running cgroup of -name")
	var w wishes
	w.flags()
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := 0, act(*do, *name)
	if *do == "" {
		code, err = start(args, *root, *name, w, *explained)
	}
	if err != nil {
		code = max(code, 1)
		fmt.Fprintln(os.Stderr, "13-cpu-pids-io:", err)
	}
	os.Exit(code)
}

// start makes the root folder and finds a cgroup, and explains or runs.
func start(args []string, given, name string, w wishes, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	r, err := w.resources(root)
	if err != nil {
		return 1, err
	}
	group, err := newGroup(name)
	if err != nil {
		return 1, err
	}
	p, err := plan(args, root, group, r)
	if err != nil {
		return 1, err
	}
	if explained {
		explain(p)
		return 0, nil
	}
	if err := sideBySide(os.Stderr, group, r); err != nil {
		return 1, err
	}
	return limited(p, group)
}

// limited runs the command, tells what it used, and removes the cgroup, which outlives its processes. After a start that
// failed it is gone already.
func limited(p kernel.Program, group cgroups.Group) (int, error) {
	code, err := run(p)
	if err != nil {
		return code, err
	}
	if err := errors.Join(report(os.Stderr, group), group.Remove()); err != nil {
		return max(code, 1), err
	}
	return code, nil
}

// plan lists the calls: those of step 12, with other limits.
func plan(args []string, root string, group cgroups.Group, r *specs.LinuxResources) (kernel.Program, error) {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	return confine(group, r, host, append(inside, command(args)...))
}
