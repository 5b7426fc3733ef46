// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// This file is the same in every step that has a root folder: it makes a small one where none is given.

// tools are the names under which the static program is to be found in the small root.
const tools = "cat chown chroot date echo false grep head hostname id kill ls mkdir mount ps pwd readlink rm sh sleep touch true umount uname wc"

// rootFolder returns the absolute path of the folder that becomes "/". Without a given one it makes a temporary one, and
// remove takes that away again.
func rootFolder(given string) (folder string, remove func(), err error) {
	if given != "" {
		folder, err = filepath.Abs(given)
		return folder, func() {}, err
	}
	program, err := staticProgram("/bin/busybox", "bin/stave-lab")
	if err != nil {
		return "", nil, err
	}
	if folder, err = os.MkdirTemp("", "stave-root"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(folder) }
	if err := furnish(folder, program); err != nil {
		remove()
		return "", nil, err
	}
	return folder, remove, nil
}

// staticProgram returns the first of the paths that is a program which needs no loader and no library: in a root of its
// own there are none. Such a program has no interpreter among its segments (elf(5)).
func staticProgram(paths ...string) (string, error) {
	for _, path := range paths {
		file, err := elf.Open(path)
		if err != nil {
			continue // the next may be there
		}
		static := !slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		if file.Close(); static {
			return path, nil
		}
	}
	return "", fmt.Errorf("no static program for a small root: none of %s; install busybox-static, or make build here, or give a folder with -root", strings.Join(paths, ", "))
}

// furnish puts the program into a folder under the names of its tools, and makes the folders that a system has. Everybody
// may read it: root of a user namespace is somebody else outside.
func furnish(folder, program string) error {
	name := filepath.Base(program)
	err := os.Chmod(folder, 0o755)
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(folder, dir), 0o755))
	}
	err = errors.Join(err, os.Chmod(filepath.Join(folder, "tmp"), 0o777|os.ModeSticky), copyProgram(program, filepath.Join(folder, "bin", name)))
	for tool := range strings.FieldsSeq(tools) {
		err = errors.Join(err, os.Symlink(name, filepath.Join(folder, "bin", tool)))
	}
	return err
}

// copyProgram copies a program to a new file that everybody may execute.
func copyProgram(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
