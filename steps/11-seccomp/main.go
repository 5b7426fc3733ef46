// SPDX-License-Identifier: Apache-2.0

// Command 11-seccomp starts a command under a filter that the kernel runs at each of its system calls. Here it denies one
// call, with an error of your choice.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// look is the command if none is given.
const look = `grep Seccomp: /proc/self/status; mkdir /tmp/folder; echo "mkdir ended with $?."; touch /tmp/file; echo "touch ended with $?. In /tmp: $(ls /tmp)"`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls and the filter instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	deny := flag.String("deny", "mkdir,mkdirat", "the system `calls` to deny, with commas")
	errno := flag.Uint("errno", uint(unix.EPERM), "the error that they end with, see errno(3)")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	filter, err := denying(strings.Split(*deny, ","), *errno)
	code := 1
	if err == nil {
		code, err = start(args, *root, filter, *explained)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "11-seccomp:", err)
	}
	os.Exit(code)
}

// denying compiles a filter that allows everything but some calls. A name that the compiler does not know makes no difference
// to the filter: profiles may name calls of kernels to come. Here it is a mistake.
func denying(names []string, errno uint) (*security.Filter, error) {
	profile := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	filter, err := security.Compile(profile, runtime.GOARCH)
	for _, name := range names {
		if err != nil {
			break
		}
		before := filter.Program
		profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActErrno, ErrnoRet: &errno})
		filter, err = security.Compile(profile, runtime.GOARCH)
		if err == nil && slices.Equal(filter.Program, before) && name != "mkdir" { // arm64 has no mkdir, only mkdirat
			err = errors.New("unknown system call " + name)
		}
	}
	return filter, err
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, filter *security.Filter, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, root, filter)
	if explained {
		explain(p)
		fmt.Print(filter.Explain())
		return 0, nil
	}
	return run(p)
}

// plan lists the calls: those of step 07, and just before the execve the filter. It holds for this process and all its
// descendants for good, so nothing after it may need what it denies.
func plan(args []string, root string, filter *security.Filter) kernel.Program {
	config := rights(namespaces.Config{New: unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID, Hostname: "stave"})
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWNET // for sysfs
	}
	host, inside := config.Plan()
	inside = append(inside, enter(files(root))...)
	last := command(args)
	last = slices.Insert(last, len(last)-1,
		kernel.Call{Request: security.NoNewPrivileges{}, Why: "else a filter could fool a set-user-ID program"},
		kernel.Call{Request: security.Seccomp{Filter: filter}, Why: "what the kernel never begins can't have a hole"})
	return kernel.Program{Host: host, Container: append(inside, last...)}
}
