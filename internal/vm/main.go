// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
)

// failed is the exit code when the machine, not the command, went wrong.
const failed = 125

// main is the launcher, the guest's first process, or the service that the guest's systemd runs.
func main() {
	runtime.LockOSThread() // QEMU is killed when the thread that started it ends: it has to be this one
	switch {
	case os.Getpid() == 1:
		first()
	case len(os.Args) == 2 && os.Args[1] == agentFlag:
		agent()
	default:
		o, err := parse(os.Args[1:], os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, "vm:", err)
			os.Exit(failed)
		}
		os.Exit(launch(o))
	}
}
