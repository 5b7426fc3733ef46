// SPDX-License-Identifier: Apache-2.0

// Command 15-union does operations on a union file system written in Go and tells what happens in the layers; then the kernel's
// overlay does the same ones, and the two are compared.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/unionfs"
	"stave/unionfs/union"
)

// look are the operations if none are given.
func look() []string {
	return []string{
		"ls srv", "cat etc/motd", "append srv/one more", "rm srv/two", "ls srv", "mkdir srv/two",
		"rmdir srv/dir", "rm srv/dir/three", "rm srv/dir/four", "rmdir srv/dir", "mv srv/old srv/new", "mv srv/one srv/two/one", "ln srv/two/one srv/one", "ls srv",
	}
}

// main does the operations twice. It ends with 0 if the two did the same. On the overlay, the program is called again.
func main() {
	if filepath.Base(os.Args[0]) == "again" {
		os.Exit(again(os.Args[1:]))
	}
	explained := flag.Bool("explain", false, "print the calls that run the operations on the overlay")
	dir := flag.String("dir", "", "the `folder` for layers and changes, which is kept; without it, a temporary one")
	flag.Parse()
	operations := flag.Args()
	if len(operations) == 0 {
		operations = look()
	}
	code, err := start(operations, *dir, *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "15-union:", err)
	}
	os.Exit(code)
}

// start makes the layers, and explains, or does the operations on both unions and compares.
func start(operations []string, dir string, explained bool) (int, error) {
	s, remove, err := newStack(dir)
	if err != nil {
		return 1, err
	}
	defer remove()
	if _, err := staticProgram("/proc/self/exe"); err != nil {
		return 1, errors.New("this program was built for a C library, which the small root does not have: export CGO_ENABLED=0 first")
	}
	if err := copyProgram("/proc/self/exe", s.path("layer1/bin/again")); err != nil && !errors.Is(err, os.ErrExist) {
		return 1, err
	}
	for _, name := range []string{"diff", "work", "diff-go", "work-go", "merged"} {
		if err := os.MkdirAll(s.path(name), 0o755); err != nil {
			return 1, err
		}
	}
	if explained {
		explain(plan(operations, s))
		return 0, nil
	}
	answered, err := answer(os.Stdout, operations, s)
	if err != nil {
		return 1, err
	}
	if code, err := run(plan(answered, s)); code != 0 || err != nil {
		return max(code, 1), err
	}
	return compare(os.Stdout, s, len(operations))
}

// answer does the operations on the union and returns them, each with its answer.
func answer(w io.Writer, operations []string, s stack) (answered []string, err error) {
	u, err := union.New(union.Options{
		Lower: []string{s.path("layer1"), s.path("layer2")}, Upper: s.path("diff-go"), Work: s.path("work-go"),
		User: os.Geteuid() != 0, Trace: func(line string) { fmt.Fprintln(w, line) },
	})
	if err != nil {
		return nil, err
	}
	for _, operation := range operations {
		fmt.Fprintln(w, operation)
		result := do(inGo{u}, operation)
		fmt.Fprintln(w, "  ->", result)
		answered = append(answered, operation, result)
	}
	return answered, u.Close()
}

// compare compares the two upper folders.
func compare(w io.Writer, s stack, operations int) (int, error) {
	var ours, theirs bytes.Buffer
	if err := errors.Join(s.show(&ours, "diff-go"), s.show(&theirs, "diff")); err != nil {
		return 1, err
	}
	if !bytes.Equal(ours.Bytes(), theirs.Bytes()) {
		return 1, fmt.Errorf("the upper folders differ; in %s:\n%sin %s:\n%s", s.path("diff-go"), &ours, s.path("diff"), &theirs)
	}
	fmt.Fprintf(w, "\nThe kernel's overlay gave the same answers, %d in all. Both upper folders have:\n%s", operations, &ours)
	return 0, nil
}

// plan lists the calls: those of step 14. The command is this program, which has been copied into the first layer.
func plan(answered []string, s stack) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	m := unionfs.OverlayMount{Dir: s.dir, Lower: layers(), Upper: "diff", Work: "work", Target: s.path("merged")}
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
		m.Options = []string{"userxattr"}
	}
	root := files(s.path("merged"))
	root.First = []kernel.Call{{Request: m, Why: "the kernel's overlay does the same once more"}}
	host, inside := config.Plan()
	inside = append(inside, enter(root)...)
	return kernel.Program{Host: host, Container: append(inside, command(append([]string{"again"}, answered...))...)}
}
