// SPDX-License-Identifier: Apache-2.0

// Command 06-names starts a command with a host name, message queues and clocks of its own: the UTS, IPC and time
// namespaces.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
)

// look is the command if none is given.
const look = `read up idle </proc/uptime; echo "I am $(hostname), up for $up seconds."; touch /dev/mqueue/mine; echo "My message queues: $(ls /dev/mqueue)"; hostname changed; echo "Now I am $(hostname)."`

// main plans, and explains or runs. It ends with the command's exit code.
func main() {
	explained := flag.Bool("explain", false, "print the calls instead of making them")
	root := flag.String("root", "", "the `folder` that becomes /; without it, a small one is made")
	name := flag.String("hostname", "stave", "the `name` by which the machine calls itself")
	up := flag.Duration("up", 240*time.Hour, "how much longer the machine seems to be up; whole seconds")
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"sh", "-c", look}
	}
	code, err := start(args, *root, names(*name, *up), *explained)
	if err != nil {
		fmt.Fprintln(os.Stderr, "06-names:", err)
	}
	os.Exit(code)
}

// start makes the root folder, and explains or runs.
func start(args []string, given string, config namespaces.Config, explained bool) (int, error) {
	root, remove, err := rootFolder(given)
	if err != nil {
		return 1, err
	}
	defer remove()
	p := plan(args, root, config)
	if explained {
		explain(p)
		return 0, nil
	}
	return run(p)
}

// names is the configuration of the namespaces. Both clocks that can be set count from the start of the machine; there is
// no namespace for the date.
func names(host string, up time.Duration) namespaces.Config {
	offset := namespaces.Offset{Seconds: int64(up / time.Second)}
	return namespaces.Config{
		New:      unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWTIME,
		Hostname: host,
		Offsets:  map[string]namespaces.Offset{"boottime": offset, "monotonic": offset},
	}
}

// plan lists the calls: those of step 05 with more namespaces. A process can't enter a new time namespace itself, so the
// first process sets the clocks and goes on in a child. That child is process 1 where an ordinary user needs a PID namespace.
func plan(args []string, root string, config namespaces.Config) kernel.Program {
	config = rights(config)
	if os.Geteuid() != 0 {
		config.New |= unix.CLONE_NEWPID | unix.CLONE_NEWNET
	}
	host, inside := config.Plan()
	finds := files(root)
	finds.Mounts = append(finds.Mounts, mount("mqueue", "/dev/mqueue", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, ""))
	inside = append(inside, enter(finds)...)
	return kernel.Program{Host: host, Container: append(inside, command(args)...)}
}
