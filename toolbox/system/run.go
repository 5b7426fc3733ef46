// SPDX-License-Identifier: Apache-2.0

package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// become replaces this process by a command; it comes back only when that fails, with the exit code: 127 not found, 126 not executable.
func become(std tool.IO, name string, command, env []string) int {
	path, err := exec.LookPath(command[0])
	if err == nil {
		err = syscall.Exec(path, command, env)
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		std.Errorf(name, "%s: not found", command[0])
		return 127
	}
	std.Errorf(name, "%s: %v", command[0], err)
	return 126
}

// orShell is the command, or a shell if there is none.
func orShell(command []string) []string {
	if len(command) > 0 {
		return command
	}
	if shell := os.Getenv("SHELL"); shell != "" {
		return []string{shell}
	}
	return []string{"/bin/sh"}
}

// Env prints the environment or runs a command in a changed one: env [-i] [-u NAME]… [NAME=VALUE]… [COMMAND [ARG…]].
func Env(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+iu:", "ignore-environment=i", "unset=u")
	if err != nil {
		return std.Fail(args[0], err)
	}
	env := os.Environ()
	if o.Has("i") {
		env = nil
	}
	for _, name := range o.Values('u') {
		env = without(env, name)
	}
	rest := o.Args
	for len(rest) > 0 && strings.Contains(rest[0], "=") {
		name, _, _ := strings.Cut(rest[0], "=")
		env = append(without(env, name), rest[0])
		rest = rest[1:]
	}
	if len(rest) > 0 {
		return become(std, args[0], rest, env)
	}
	for _, e := range env {
		fmt.Fprintln(std.Out, e)
	}
	return 0
}

// without is an environment without one variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") })
}

// Chroot runs a command with another root folder: chroot FOLDER [COMMAND [ARG…]]. See chroot(2), which is no wall by itself.
func Chroot(std tool.IO, args []string) int {
	if len(args) < 2 {
		return std.Errorf(args[0], "which folder?")
	}
	if err := unix.Chroot(args[1]); err != nil {
		return std.Fail(args[0], &os.PathError{Op: "chroot", Path: args[1], Err: err})
	}
	if err := os.Chdir("/"); err != nil {
		return std.Fail(args[0], err)
	}
	return become(std, args[0], orShell(args[2:]), os.Environ())
}

// namespaceFlags is the letters of unshare and nsenter, the flag of each and its name below /proc/PID/ns.
func namespaceFlags() []struct {
	Letter string
	Flag   uintptr
	Name   string
} {
	return []struct {
		Letter string
		Flag   uintptr
		Name   string
	}{
		{"U", unix.CLONE_NEWUSER, "user"}, // first: it gives the right to join the others
		{"i", unix.CLONE_NEWIPC, "ipc"},
		{"u", unix.CLONE_NEWUTS, "uts"},
		{"n", unix.CLONE_NEWNET, "net"},
		{"p", unix.CLONE_NEWPID, "pid"},
		{"C", unix.CLONE_NEWCGROUP, "cgroup"},
		{"m", unix.CLONE_NEWNS, "mnt"},
	}
}

// Unshare runs a command in new namespaces: unshare [-muinpUCrf] [--mount-proc] [COMMAND [ARG…]]. With -p the command is forked, for a
// PID namespace holds only children; with -m mounts are made private first, as raw unshare(2) does not.
func Unshare(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+muinpUCrfP", "mount=m", "uts=u", "ipc=i", "net=n", "pid=p", "user=U", "cgroup=C",
		"map-root-user=r", "fork=f", "mount-proc=P")
	if err != nil {
		return std.Fail(args[0], err)
	}
	attr := &syscall.SysProcAttr{}
	for _, n := range namespaceFlags() {
		if o.Has(n.Letter) {
			attr.Cloneflags |= n.Flag
		}
	}
	if o.Has("P") {
		attr.Cloneflags |= unix.CLONE_NEWNS
	}
	if o.Has("r") {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	command := orShell(o.Args)
	if attr.Cloneflags&unix.CLONE_NEWNS != 0 {
		command = append([]string{"/proc/self/exe", "stave-unshared", fmt.Sprint(o.Has("P"))}, command...)
	}
	cmd := exec.Command(command[0], command[1:]...)
	if attr.Cloneflags&unix.CLONE_NEWNS != 0 {
		cmd.Args[0] = "stave-lab"
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = std.In, tool.Inherit(std.Out), std.Err, attr
	// os/exec names the command even when it was clone(2) or the id maps that the kernel refused; execve(2) has other errors.
	err = cmd.Start()
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINVAL):
		return std.Errorf(args[0], "the kernel refuses new namespaces: %v", errors.Unwrap(err))
	case err != nil:
		return runFailed(std, args[0], cmd, err)
	}
	return runResult(std, args[0], cmd, cmd.Wait())
}

// Unshared is the second half of unshare, inside the new mount namespace: stave-unshared PROC COMMAND…. It makes the mounts private,
// mounts a new /proc if PROC is true, and becomes the command.
func Unshared(std tool.IO, args []string) int {
	if len(args) < 3 {
		return std.Errorf("unshare", "this is the second half of unshare")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return std.Errorf("unshare", "make mounts private: %v", err)
	}
	if args[1] == "true" {
		if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return std.Errorf("unshare", "mount /proc: %v", err)
		}
	}
	return become(std, "unshare", args[2:], os.Environ())
}

// runCode runs a command and gives its exit code, 128+n after signal n.
func runCode(std tool.IO, name string, cmd *exec.Cmd) int {
	return runResult(std, name, cmd, cmd.Run())
}

// runResult is the exit code of a command that has run with this error.
func runResult(std tool.IO, name string, cmd *exec.Cmd, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	return runFailed(std, name, cmd, err)
}

// runFailed says that a command did not start, and gives 127 if it was not found, 126 otherwise.
func runFailed(std tool.IO, name string, cmd *exec.Cmd, err error) int {
	if errors.Is(err, exec.ErrNotFound) {
		std.Errorf(name, "%s: not found", cmd.Path)
		return 127
	}
	std.Fail(name, err)
	return 126
}
