// SPDX-License-Identifier: Apache-2.0

// Command 03-mounts starts a command in a mount namespace of its own and mounts a tmpfs there. With -leak it forgets the
// one call that keeps the mount from appearing on the host as well.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/chroot"
	"stave/kernel"
	"stave/namespaces"
)

// look is the command if none is given; its argument is the folder.
const look = `echo "My mounts on $0:"; grep " $0 " /proc/self/mountinfo; echo "The host's (none unless it leaks):"; grep " $0 " /proc/$PPID/mountinfo; true`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	leak := flag.Bool("leak", false, "forget to make / private")
	on := flag.String("on", "", "the `folder` to mount on; without it, a temporary one")
	flag.Parse()
	code, err := start(flag.Args(), *on, *leak, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "03-mounts:", err)
	}
	os.Exit(code)
}

// start makes the folder, and explains or runs. A mount that leaked is taken away: it outlives the command.
func start(args []string, folder string, leak, explained bool) (int, error) {
	if folder == "" {
		made, err := os.MkdirTemp("", "stave-mount")
		if err != nil {
			return 1, err
		}
		defer os.Remove(made)
		folder = made
	}
	if len(args) == 0 {
		args = []string{"sh", "-c", look, folder}
	}
	p := plan(args, folder, leak)
	if explained {
		explain(p)
		return 0, nil
	}
	code, err := run(p)
	if leak && unix.Unmount(folder, unix.MNT_DETACH) == nil {
		fmt.Fprintf(os.Stderr, "03-mounts: the mount on %s was on the host as well; unmounted it there\n", folder)
	}
	return code, err
}

// plan lists the calls. A new mount namespace starts as a copy of the old one, and the copies of shared mounts are peers:
// what is mounted below one appears below the others (mount_namespaces(7)).
func plan(args []string, folder string, leak bool) kernel.Program {
	host, inside := rights(namespaces.Config{New: unix.CLONE_NEWNS}).Plan()
	if !leak {
		inside = append(inside, kernel.Call{
			Request: chroot.Propagation{Target: "/", Host: true, Flags: unix.MS_PRIVATE | unix.MS_REC},
			Why:     "systemd makes / shared: without this call, the next one changes the host",
		})
	}
	inside = append(inside, kernel.Call{Request: tmpfs{folder}, Why: "a mount that only the command shall see"})
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}

// A tmpfs is a request of this step's own: three methods make a kernel call that can be run, printed and explained.
type tmpfs struct{ Folder string }

// String says what is asked.
func (t tmpfs) String() string { return "mount a tmpfs on " + t.Folder }

// Shell is mount(8).
func (t tmpfs) Shell() string { return "mount -t tmpfs tmpfs " + kernel.Quote(t.Folder) }

// Assemble is mount(2).
func (t tmpfs) Assemble(a *kernel.Assembler) {
	name := kernel.Str("tmpfs")
	a.Sys(unix.SYS_MOUNT, name, kernel.Str(t.Folder), name, kernel.Int(0), kernel.Int(0))
}
