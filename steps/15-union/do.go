// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"stave/unionfs/union"
)

// This file has the operations. They are done on two things: the union, and whatever the kernel has mounted.

// tree is what operations are done on.
type tree interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	OpenFile(name string, flags int, perm uint32) (*os.File, error)
	Mkdir(name string, mode uint32) error
	Unlink(name string) error
	Rmdir(name string) error
	Rename(from, to string) error
	Link(from, to string) error
	Wait() error
}

// inGo is the union. Nobody can look at it from outside, so that it never waits.
type inGo struct{ *union.Union }

// Wait does nothing.
func (inGo) Wait() error { return nil }

// calls are those of the kernel, on the folder that the process is in.
type calls struct{}

// Wait waits for the end of a line, so that somebody can look at what is mounted.
func (calls) Wait() error {
	fmt.Printf("I am process %d, and wait for the Enter key.\n", os.Getpid())
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// ReadDir lists a folder in the order of names.
func (calls) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// OpenFile is open(2).
func (calls) OpenFile(name string, flags int, perm uint32) (*os.File, error) {
	return os.OpenFile(name, flags, fs.FileMode(perm))
}

// Mkdir is mkdir(2).
func (calls) Mkdir(name string, mode uint32) error { return unix.Mkdir(name, mode) }

// Unlink is unlink(2).
func (calls) Unlink(name string) error { return unix.Unlink(name) }

// Rmdir is rmdir(2).
func (calls) Rmdir(name string) error { return unix.Rmdir(name) }

// Rename is rename(2).
func (calls) Rename(from, to string) error { return unix.Rename(from, to) }

// Link is link(2).
func (calls) Link(from, to string) error { return unix.Link(from, to) }

// do does one operation, such as "rm srv/two", and returns what comes of it: a text, "ok", or the kernel's words for its error.
func do(t tree, operation string) string {
	words := strings.Fields(operation)
	answer, err := "ok", fmt.Errorf("no operation: ls, cat, mkdir, rm or rmdir NAME; mv or ln OLD NEW; append NAME TEXT; wait")
	switch {
	case operation == "wait":
		err = t.Wait()
	case len(words) == 2:
		answer, err = one(t, words[0], words[1], err)
	case len(words) == 3:
		err = two(t, words[0], words[1], words[2], err)
	}
	var number unix.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	if err != nil {
		return err.Error()
	}
	return answer
}

// one does what has one name.
func one(t tree, verb, name string, unknown error) (string, error) {
	switch verb {
	case "ls":
		entries, err := t.ReadDir(name)
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		return strings.Join(append([]string{"it has"}, names...), " "), err
	case "cat":
		file, err := t.OpenFile(name, unix.O_RDONLY, 0)
		if err != nil {
			return "", err
		}
		defer file.Close()
		text := make([]byte, 1000)
		n, err := file.Read(text)
		return fmt.Sprintf("%q", text[:n]), err
	case "mkdir":
		return "ok", t.Mkdir(name, 0o755)
	case "rm":
		return "ok", t.Unlink(name)
	case "rmdir":
		return "ok", t.Rmdir(name)
	}
	return "", unknown
}

// two does what has a name and something else.
func two(t tree, verb, name, other string, unknown error) error {
	switch verb {
	case "mv":
		return t.Rename(name, other)
	case "ln":
		return t.Link(name, other)
	case "append":
		file, err := t.OpenFile(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644)
		if err != nil {
			return err
		}
		_, err = file.WriteString(other + "\n")
		return errors.Join(err, file.Close())
	}
	return unknown
}

// again does operations by the kernel's calls and compares what comes of them with what came of them before. It is the program that runs on
// the overlay: its arguments are operations and answers, in turn.
func again(args []string) int {
	code := 0
	for i := 0; i+1 < len(args); i += 2 {
		if answer := do(calls{}, args[i]); answer != args[i+1] {
			fmt.Printf("%s: the union says %s, the kernel %s\n", args[i], args[i+1], answer)
			code = 1
		}
	}
	return code
}
