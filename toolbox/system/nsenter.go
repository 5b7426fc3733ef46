// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Nsenter runs a command in namespaces of a process: nsenter -t PID [-muinpCa] [COMMAND [ARG…]]. A user namespace can't be joined: setns(2)
// wants a process of one thread for that, and a Go program has several; for mounts it wants a thread that shares its
// root folder with no other, which unshare(CLONE_FS) gives.
func Nsenter(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+t:muinpCa", "target=t", "mount=m", "uts=u", "ipc=i", "net=n", "pid=p", "cgroup=C", "all=a")
	if err == nil && !o.Has("t") {
		err = fmt.Errorf("which process? -t PID")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	result := make(chan int, 1)
	go func() {
		// The thread is changed for good: it stays locked, and ends with this goroutine. Its child is in the new namespaces.
		runtime.LockOSThread()
		if err := enter(o, o.Value('t', "")); err != nil {
			result <- std.Fail(args[0], err)
			return
		}
		command := orShell(o.Args)
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = std.In, tool.Inherit(std.Out), std.Err
		if o.Has("ma") {
			cmd.Dir = "/"
		}
		result <- runCode(std, args[0], cmd)
	}()
	return <-result
}

// enter joins the namespaces; all are opened first, for the mount namespace takes /proc away.
func enter(o *tool.Options, pid string) error {
	if strings.Trim(pid, "0123456789") != "" {
		return fmt.Errorf("%s: not a process id", pid)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	type open struct {
		file *os.File
		flag uintptr
	}
	var list []open
	for _, n := range namespaceFlags() {
		if n.Name == "user" || !o.Has(n.Letter+"a") {
			continue
		}
		f, err := os.Open("/proc/" + pid + "/ns/" + n.Name)
		if err != nil {
			return err
		}
		defer f.Close()
		list = append(list, open{f, n.Flag})
	}
	for _, ns := range list {
		if err := unix.Setns(int(ns.file.Fd()), int(ns.flag)); err != nil {
			return fmt.Errorf("%s: %w", ns.file.Name(), err)
		}
	}
	return nil
}
