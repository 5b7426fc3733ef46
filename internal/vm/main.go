// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
)

// failed is the exit code when the machine, not the command, went wrong.
const failed = 125

// agentFlag makes this program the service that runs the command under systemd.
const agentFlag = "-agent"

// unpackFlag makes this program unpack the kernel in a folder, once and for all boots.
const unpackFlag = "-unpack"

// main is the launcher, the guest's first process, or the service that the guest's systemd runs.
func main() {
	runtime.LockOSThread() // QEMU is killed when the thread that started it ends: it has to be this one
	switch {
	case os.Getpid() == 1:
		first()
	case len(os.Args) == 2 && os.Args[1] == agentFlag:
		agent()
	case len(os.Args) == 3 && os.Args[1] == unpackFlag:
		exitWith(unpackKernel(os.Args[2]))
	default:
		o, err := parse(os.Args[1:], os.Stderr)
		if err != nil {
			exitWith(err)
		}
		os.Exit(launch(o))
	}
}

// exitWith ends the process, with the error if there is one.
func exitWith(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(failed)
	}
	os.Exit(0)
}
