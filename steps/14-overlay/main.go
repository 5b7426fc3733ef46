// SPDX-License-Identifier: Apache-2.0

// Command 14-overlay starts a command whose root is several folders on top of each other. It may change all it wants: the
// layers stay as they are, and what changes is in a folder of its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/unionfs"
)

// look is the command if none is given.
const look = `echo "Before:"; ls /srv /srv/dir; cat /srv/one
echo "I am changed" >> /srv/one; rm /srv/two; rm -r /srv/dir; mkdir /srv/dir; echo "I am new" > /srv/dir/six
echo "After:"; ls /srv /srv/dir; cat /srv/one`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	dir := flag.String("dir", "", "the `folder` for layers and changes, which is kept; without it, a temporary one")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *dir, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "14-overlay:", err)
	}
	os.Exit(code)
}

// start makes the layers, explains or runs, and shows what is in the upper folder then.
func start(args []string, dir string, explained bool) (int, error) {
	s, remove, err := newStack(dir)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, s)
	if explained {
		explain(p)
		return 0, nil
	}
	for _, name := range []string{"diff", "work", "merged"} {
		err = errors.Join(err, os.MkdirAll(s.path(name), 0o755))
	}
	if err != nil {
		return 1, err
	}
	code, err := run(p)
	if err != nil {
		return code, err
	}
	fmt.Fprintln(os.Stderr, "What has changed is in the upper folder, "+s.path("diff")+":")
	if err := s.show(os.Stderr, "diff"); err != nil {
		return max(code, 1), err
	}
	return code, nil
}

// plan lists the calls: those of step 07, with one before the root folder is used: there it becomes an overlay. The mount is the
// command's own, so it goes with it.
func plan(args []string, s stack) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	root := files(s.path("merged"))
	root.First = []kernel.Call{{Request: overlay(s), Why: "the layers appear as one folder, and what is written goes to the upper one"}}
	host, inside := config.Plan()
	inside = append(inside, enter(root)...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}

// overlay is the mount: layers, the lowest first, the upper folder for the changes, and a work folder for overlay itself, in which it makes
// ready what then appears in the upper one by a rename.
func overlay(s stack) unionfs.OverlayMount {
	m := unionfs.OverlayMount{Dir: s.dir, Lower: layers(), Upper: "diff", Work: "work", Target: s.path("merged")}
	if os.Geteuid() != 0 {
		m.Options = []string{"userxattr"} // its marks are attributes that an ordinary user may set
	}
	return m
}
