// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"
)

// This file is the small program that runs as process 1 with -init, and does its duties.

// initPath is where the step's own program lies in the container, under another name: /dev is the container's own.
const initPath = "/dev/init"

// serve starts a command, passes on signals, reaps every process that ends, and returns the command's exit code.
func serve(args []string) int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // all: the kernel drops a signal for process 1 that it has no handler for
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return 127
	}
	go func() {
		for s := range signals {
			if s != unix.SIGCHLD && s != unix.SIGURG { // these are for this program: a child ended, Go's scheduler
				cmd.Process.Signal(s)
			}
		}
	}()
	return reap(cmd.Process.Pid)
}

// reap waits for every child, also for those that others left behind, until the command ends. Process 1 may end then: the
// kernel kills all others in its PID namespace.
func reap(command int) int {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "init: wait:", err)
			return 1
		case pid == command && status.Signaled():
			return 128 + int(status.Signal())
		case pid == command:
			return status.ExitStatus()
		}
	}
}
