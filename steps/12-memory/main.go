// SPDX-License-Identifier: Apache-2.0

// Command 12-memory starts a command in a cgroup with a limit of memory. What takes more is killed by the kernel.
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

// look is the command if none is given: a shell whose variable doubles until it is killed. Without a limit it would stop by itself.
const look = `echo "My cgroups:"; cat /proc/self/cgroup; echo "Now I take more and more memory."
x=stave; while [ ${#x} -lt 400000000 ]; do x=$x$x; done; echo "Nobody has stopped me."`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	limit := flag.String("memory", "64m", "how much `memory` the command gets")
	total := flag.String("memory-swap", "", "how much memory `and swap` together; as much as -memory (no swap) unless given, -1 for any amount, 0 to leave the file alone")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	r, err := memory(*limit, *total)
	code := 1
	if err == nil {
		code, err = start(args, *root, r, *explained)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "12-memory:", err)
	}
	os.Exit(code)
}

// memory is the limit as the OCI specification has it. Swap is the sum of both there, as in version 1 of cgroups; the package
// makes it swap alone for version 2.
func memory(limit, total string) (*specs.LinuxResources, error) {
	if total == "" {
		total = limit
	}
	bytes, err := size(limit)
	if err != nil {
		return nil, err
	}
	both, err := size(total)
	if err != nil {
		return nil, err
	}
	return &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes, Swap: &both}}, nil
}

// start finds a cgroup and makes the root folder, and explains or runs.
func start(args []string, given string, r *specs.LinuxResources, explained bool) (int, error) {
	group, err := newGroup(strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return 1, err
	}
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
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

// limited runs the command, tells whether the kernel had to kill, and removes the cgroup: it outlives its processes. After a
// start that failed it is gone already.
func limited(p kernel.Program, group cgroups.Group) (int, error) {
	code, err := run(p)
	if err != nil {
		return code, err
	}
	if err := errors.Join(report(group), group.Remove()); err != nil {
		return max(code, 1), err
	}
	return code, nil
}

// report tells how much memory was used, and how many processes were killed for it.
func report(group cgroups.Group) error {
	stats, err := group.Stats()
	if err != nil {
		return err
	}
	if m := stats.Memory; m != nil && m.Peak != nil {
		fmt.Fprintf(os.Stderr, "The most memory in use at a time was %d of %d bytes.\n", *m.Peak, m.Limit)
	}
	kills, err := group.OOMKills()
	if err == nil && kills > 0 {
		fmt.Fprintf(os.Stderr, "Out of memory: the kernel has killed %d of the command's processes.\n", kills)
	}
	return err
}

// plan lists the calls: those of step 07, in a cgroup that is made and limited before there is a process to limit.
func plan(args []string, root string, group cgroups.Group, r *specs.LinuxResources) (kernel.Program, error) {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	return confine(group, r, host, append(inside, command(args)...))
}
