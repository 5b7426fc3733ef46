// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"stave/container"
)

// making are the options that create and run share.
type making struct {
	bundle  string
	options container.Options
}

// makingFlags adds them to a command's own.
func makingFlags(flags *flag.FlagSet) *making {
	m := &making{}
	flags.StringVar(&m.bundle, "bundle", ".", "`folder` of the bundle")
	flags.StringVar(&m.bundle, "b", ".", "`folder` of the bundle")
	flags.StringVar(&m.options.ConsoleSocket, "console-socket", "", "unix `socket` that gets the other end of the container's terminal")
	flags.StringVar(&m.options.PidFile, "pid-file", "", "`file` that gets the number of the container's process")
	flags.IntVar(&m.options.Keep, "preserve-fds", 0, "how many descriptors after 2 the command inherits")
	flags.BoolVar(&m.options.NoPivot, "no-pivot", false, "don't use pivot_root")
	flags.BoolVar(&m.options.NoNewKeyring, "no-new-keyring", false, "keep the session keyring of the caller")
	return m
}

// load reads the bundle and completes the options. Descriptors that are passed by the protocol of sd_listen_fds(3) go to
// the command, with those that --preserve-fds names after them.
func (m *making) load(g globals, id string) (*container.Bundle, error) {
	m.options.ID, m.options.Root, m.options.Systemd = id, g.root, g.systemd
	m.options.Rootless, m.options.Notice, m.options.Planned = g.rootless, g.warn, g.log.planned()
	if err := container.CheckID(id); err != nil {
		return nil, err
	}
	b, err := container.Load(m.bundle)
	if err != nil {
		return nil, err
	}
	count, env, err := listenDescriptors()
	if err != nil {
		return nil, err
	}
	m.options.Keep += count
	if err := checkDescriptors(m.options.Keep); err != nil {
		return nil, err
	}
	b.Spec.Process.Env = append(b.Spec.Process.Env, env...)
	return b, nil
}

// checkDescriptors refuses to pass descriptors that are not open: the command would find something else under their numbers.
func checkDescriptors(count int) error {
	for fd := 3; fd < 3+count; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return fmt.Errorf("--preserve-fds, LISTEN_FDS: descriptor %d of 3 to %d is not open", fd, 2+count)
		}
	}
	return nil
}

// listenDescriptors reads LISTEN_FDS: how many descriptors from 3 on are sockets for the command, and the variables by
// which it learns of them. They are meant for this process only if LISTEN_PID says so. In the container the command's
// number is 1, if it has a PID namespace.
func listenDescriptors() (count int, env []string, err error) {
	text := os.Getenv("LISTEN_FDS")
	if text == "" || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return 0, nil, nil
	}
	count, err = strconv.Atoi(text)
	if err != nil || count < 0 {
		return 0, nil, fmt.Errorf("LISTEN_FDS=%q in the environment is not a number of descriptors", text)
	}
	env = []string{"LISTEN_FDS=" + text, "LISTEN_PID=1"}
	if names, ok := os.LookupEnv("LISTEN_FDNAMES"); ok {
		env = append(env, "LISTEN_FDNAMES="+names)
	}
	return count, env, nil
}

// create makes the container of a bundle; start lets its command run.
func create(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("create", flag.ContinueOnError)
	m := makingFlags(flags)
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	if err := container.ProtectProgram(); err != nil { // before anything that would be done twice
		return 0, err
	}
	b, err := m.load(g, flags.Arg(0))
	if err != nil {
		return 0, err
	}
	return 0, container.Create(b, m.options)
}

// start lets the command of a created container run.
func start(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	return onContainer(g, flags, args, (*container.Instance).Start)
}

// run makes the container of a bundle and runs it.
func run(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	m := makingFlags(flags)
	var o container.RunOptions
	flags.BoolVar(&m.options.Detach, "detach", false, "leave the container to itself once its command runs")
	flags.BoolVar(&m.options.Detach, "d", false, "leave the container to itself once its command runs")
	flags.BoolVar(&o.NoSubreaper, "no-subreaper", false, "leave orphans of a container without a PID namespace to the caller's reaper")
	flags.BoolVar(&o.Leave, "keep", false, "keep the container after its end, until it is deleted")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	b, err := m.load(g, flags.Arg(0))
	if err != nil {
		return 0, err
	}
	o.Options = m.options
	return container.Run(b, o)
}
