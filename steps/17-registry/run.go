// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"stave/kernel"
)

// This file is the same in every step: it ends the list of calls, prints it, and runs it.

// command is the end of every program: the calls that make room for the command, and the execve(2) that starts it.
func command(args []string) []kernel.Call {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=" + os.Getenv("TERM")}
	return []kernel.Call{
		{Request: kernel.CloseDescriptors{}, Why: "a file that is open is a way out, whatever the command may see"},
		{Request: kernel.ResetSignals{}, Why: "a signal that the starter ignored would stay ignored"},
		{Request: kernel.ParentDeath{Signal: unix.SIGKILL}, Why: "no process shall be left when the step is killed"},
		{Request: kernel.Exec{Args: args, Env: env}, Why: "this is what all the calls before were for"},
	}
}

// explain prints every call of a program, the shell command that does the same, and the reason.
func explain(p kernel.Program) {
	signal.Ignore(unix.SIGPIPE) // a reader such as head(1) may leave early; what the step has made is to be removed even so
	for _, step := range p.Steps() {
		fmt.Println(step)
		if shell := step.Call.Shell(); shell != "" {
			fmt.Println("    $ " + shell)
		}
		fmt.Println("    " + step.Call.Why)
	}
}

// run starts a program, waits for its command, and returns the exit code as a shell gives it.
func run(p kernel.Program) (int, error) {
	runtime.LockOSThread() // the parent-death signal comes when the thread ends that started the command
	defer runtime.UnlockOSThread()
	signal.Ignore(unix.SIGINT, unix.SIGQUIT) // a terminal sends them to the command as well, and that one decides
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP) // these come to us alone
	defer signal.Stop(signals)
	process, err := p.Start(kernel.Options{})
	if err != nil {
		return refused(err)
	}
	go pass(signals, process.Pid)
	status, err := process.Wait()
	switch {
	case err != nil:
		return 1, err
	case status.Signaled():
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// pass passes signals on to the command. It ends with the program.
func pass(signals <-chan os.Signal, pid int) {
	for s := range signals {
		unix.Kill(pid, s.(unix.Signal)) // an error means that the command has ended, which run is about to learn
	}
}

// refused returns the exit code for a call that failed: 127 when the command is not there, 126 when it can't be executed,
// and 1 for any other call.
func refused(err error) (int, error) {
	var failed *kernel.CallError
	if errors.As(err, &failed) {
		if _, last := failed.Call.Request.(kernel.Exec); last && errors.Is(err, unix.ENOENT) {
			return 127, err
		} else if last {
			return 126, err
		}
	}
	if errors.Is(err, unix.EPERM) && os.Geteuid() != 0 {
		err = fmt.Errorf("%w (an ordinary user may not; be root, or root of a user namespace: unshare --map-root-user COMMAND)", err)
	}
	return 1, err
}
