// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Kill sends a signal to processes: kill [-SIGNAL | -s SIGNAL] PID…, or lists the signals: kill -l [NUMBER]. A negative
// PID is a process group. See kill(2).
func Kill(std tool.IO, args []string) int {
	name, args := args[0], args[1:]
	if len(args) > 0 && args[0] == "-l" {
		return listSignals(std, name, args[1:])
	}
	signal, pids, err := killArguments(args)
	if err != nil {
		return std.Fail(name, err)
	}
	code := 0
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			code = std.Errorf(name, "%s: not a process id", text)
		} else if err := unix.Kill(pid, signal); err != nil {
			code = std.Errorf(name, "%s: %v", text, err)
		}
	}
	return code
}

// killArguments reads the signal and gives what is left: the process ids.
func killArguments(args []string) (signal unix.Signal, pids []string, err error) {
	signal = unix.SIGTERM
	switch {
	case len(args) > 1 && args[0] == "-s":
		signal, err = ParseSignal(args[1])
		args = args[2:]
	case len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--":
		signal, err = ParseSignal(args[0][1:])
		args = args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if err == nil && len(args) == 0 {
		err = fmt.Errorf("which process? kill [-SIGNAL] PID")
	}
	return signal, args, err
}

// listSignals prints the name for each number (an exit code of 128+n counts as n), or all of them.
func listSignals(std tool.IO, name string, numbers []string) int {
	if len(numbers) == 0 {
		for n := 1; n < 32; n++ {
			fmt.Fprintf(std.Out, "%2d) %s\n", n, SignalName(unix.Signal(n)))
		}
		return 0
	}
	for _, text := range numbers {
		n, err := strconv.Atoi(text)
		if err != nil {
			s, err := ParseSignal(text)
			if err != nil {
				return std.Fail(name, err)
			}
			fmt.Fprintln(std.Out, int(s))
			continue
		}
		fmt.Fprintln(std.Out, SignalName(unix.Signal(n&127)))
	}
	return 0
}
