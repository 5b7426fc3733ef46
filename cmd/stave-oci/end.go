// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"stave/container"
)

// onContainer runs a command that takes the id of one container and nothing else.
func onContainer(g globals, flags *flag.FlagSet, args []string, do func(i *container.Instance) error) (int, error) {
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if err != nil {
		return 0, err
	}
	defer i.Close()
	return 0, do(i)
}

// kill sends a signal.
func kill(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("kill", flag.ContinueOnError)
	all := flags.Bool("all", false, "signal all processes of the container")
	flags.BoolVar(all, "a", false, "signal all processes of the container")
	if err := parseFlags(flags, args); err != nil {
		return 0, err
	}
	if n := flags.NArg(); n < 1 || n > 2 {
		return 0, fmt.Errorf("kill takes the id of a container and a signal, %d arguments are given", n)
	}
	signal, err := parseSignal(flags.Arg(1))
	if err != nil {
		return 0, err
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if err != nil {
		return 0, err
	}
	defer i.Close()
	return 0, i.Kill(signal, *all)
}

// parseSignal reads a signal: a number, or a name with or without SIG; SIGTERM where there is none.
func parseSignal(text string) (unix.Signal, error) {
	if text == "" {
		return unix.SIGTERM, nil
	}
	const first, last = 34, 64 // of the real-time signals (signal(7)): SIGRTMIN as the C library has it
	if n, err := strconv.Atoi(text); err == nil {
		if n < 0 || n > last {
			return 0, fmt.Errorf("signal %q: the numbers go from 0 to %d", text, last)
		}
		return unix.Signal(n), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if s := unix.SignalNum(name); s != 0 {
		return s, nil
	}
	for prefix, base := range map[string]int{"SIGRTMIN": first, "SIGRTMAX": last} {
		offset, ok := strings.CutPrefix(name, prefix)
		if n, err := strconv.Atoi("0" + strings.TrimLeft(offset, "+-")); ok && err == nil {
			if strings.HasPrefix(offset, "-") {
				n = -n
			}
			if base+n >= first && base+n <= last {
				return unix.Signal(base + n), nil
			}
		}
	}
	return 0, fmt.Errorf("signal %q is not known: give a number, or a name of signal(7)", text)
}

// remove deletes a container. With --force one that is not there is deleted already.
func remove(g globals, args []string) (int, error) {
	flags := flag.NewFlagSet("delete", flag.ContinueOnError)
	force := flags.Bool("force", false, "kill it first, if it runs")
	flags.BoolVar(force, "f", false, "kill it first, if it runs")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	i, err := container.Find(g.root, flags.Arg(0))
	if i != nil {
		defer i.Close()
	}
	switch {
	case *force && errors.Is(err, container.ErrNotExist):
		return 0, nil
	case err != nil && (!*force || i == nil):
		return 0, err
	}
	return 0, i.Delete(*force, g.warn)
}
