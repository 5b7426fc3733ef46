// SPDX-License-Identifier: Apache-2.0

// Command 09-user starts a command as root of a user namespace: user 0 in there, an ordinary user outside. This is how a
// user who is not root makes a container, and how root makes one whose root is nobody.
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
const look = `id; echo "Users (inside, outside, how many): $(cat /proc/self/uid_map)"; echo "setgroups: $(cat /proc/self/setgroups)"
grep CapEff /proc/self/status; hostname mine && echo "I may rename my machine."; echo "Whose the program is that I run:"; ls -ln /bin/sh`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	outside := flag.Int("outside", mine(os.Geteuid(), 100_000), "the user and group outside that is root inside")
	size := flag.Int("size", mine(1, 65_536), "how many users and groups there are inside")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, users(*outside, *size), *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "09-user:", err)
	}
	os.Exit(code)
}

// mine is a number for an ordinary user, and another one for root.
func mine(ordinary, root int) int {
	if os.Geteuid() != 0 {
		return ordinary
	}
	return root
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, config namespaces.Config, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, root, config)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// users is the configuration of the namespaces. The kernel lets root write any map; an ordinary user maps himself, and only
// after giving up setgroups(2); for more there are the helpers newuidmap(1) and newgidmap(1), which obey subuid(5).
func users(outside, size int) namespaces.Config {
	c := namespaces.Config{
		New: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
	}
	all := namespaces.IDMap{Inside: 0, Outside: uint32(outside), Size: uint32(size)}
	c.UIDs, c.GIDs = []namespaces.IDMap{all}, []namespaces.IDMap{all}
	switch {
	case os.Geteuid() == 0:
		c.Mapping = namespaces.Privileged
	case outside == os.Geteuid() && size == 1:
		c.Mapping = namespaces.Single
		c.GIDs[0].Outside = uint32(os.Getegid())
	default:
		c.Mapping = namespaces.Helpers
	}
	return c
}

// plan lists the calls: those of step 07, with a user namespace that owns all the others. The new process has no user at all
// until the host has written its maps, so both sides wait for each other.
func plan(args []string, root string, config namespaces.Config) kernel.Program {
	host, inside := config.Plan()
	finds := files(root)
	finds.BindDevices = true // mknod(2) is forbidden in a user namespace, whoever made it
	inside = append(inside, enter(finds)...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
